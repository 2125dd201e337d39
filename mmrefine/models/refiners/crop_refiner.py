"""Base class of refiners that predict probabilities on a crop around each mask. Legend: h, w the crop in pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from mmrefine.core.crops import mask_boxes, pad_boxes
from mmrefine.core.expected_iou import boundary_sharpness, expected_iou
from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal, RefineInput


class CropRefiner(BaseRefiner):
    """Base class of refiners with one crop per mask; proposals are empty outside the crop.

    Subclasses implement :meth:`_probabilities`. Scores are the expected IoU given the probabilities, see
    :func:`~mmrefine.core.expected_iou.expected_iou`.

    Args:
        margin_px, margin_ratio: margin around the coarse mask's box, see :func:`~mmrefine.core.crops.pad_boxes`.
        max_side: maximum side of the crop in pixels, to which longer crops are downsampled; None: native resolution.
        gate: see :class:`BaseRefiner`.
    """

    def __init__(
        self,
        margin_px: float = 16,
        margin_ratio: float = 0.25,
        max_side: int | None = None,
        gate: dict | None = None,
    ) -> None:
        super().__init__(gate)
        if max_side is not None and max_side < 1:
            raise ValueError(f'max_side must be at least 1 px or None, got {max_side}.')
        self.margin_px, self.margin_ratio, self.max_side = margin_px, margin_ratio, max_side

    def forward(self, inputs: Sequence, data_samples: Sequence, mode: str = 'predict') -> list:
        """mmengine's forward pass; only ``mode='predict'`` is supported."""
        if mode != 'predict':
            raise ValueError(f"{type(self).__name__} supports mode='predict' only, got {mode!r}.")
        return self.predict(inputs, data_samples)

    @abstractmethod
    def _probabilities(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Predict foreground probabilities.

        Args:
            image: (h, w, 3) uint8 RGB.
            mask: (h, w) bool, the coarse mask, not empty.

        Returns:
            (h, w) float, in [0, 1].
        """

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[Proposal]:
        return [self._propose(item) for item in inputs]

    def _propose(self, item: RefineInput) -> Proposal:
        masks = np.zeros_like(item.masks)
        scores, coarse_scores, sharpness = np.zeros((3, len(masks)), np.float32)
        boxes = pad_boxes(mask_boxes(item.masks), item.image.shape[:2], self.margin_px, self.margin_ratio)
        for index, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            region = (slice(y1, y2), slice(x1, x2))
            coarse = item.masks[index][region]
            probabilities = torch.from_numpy(self._at_most_max_side(item.image[region], coarse)).float()
            refined = probabilities >= 0.5
            masks[index][region] = refined.numpy()
            scores[index] = expected_iou(refined, probabilities)
            coarse_scores[index] = expected_iou(torch.from_numpy(coarse.copy()), probabilities)
            sharpness[index] = boundary_sharpness(probabilities[None])[0]
        return Proposal(masks, scores, coarse_scores, {'sharpness': sharpness})

    def _at_most_max_side(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Probabilities (h, w) of a crop, computed on a downsampled crop if it is too large."""
        height, width = mask.shape
        if self.max_side is None or max(height, width) <= self.max_side:
            return self._probabilities(image.copy(), mask)
        ratio = self.max_side / max(height, width)
        size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
        small_mask = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
        if not small_mask.any():  # thinner than a pixel after downsampling
            return mask.astype(np.float32)
        small = self._probabilities(cv2.resize(image, size, interpolation=cv2.INTER_AREA), small_mask)
        return cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
