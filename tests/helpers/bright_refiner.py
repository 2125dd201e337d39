"""A refiner whose answer is plain to see, for tests of what is around refiners."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from mmrefine.models.refiners import BaseRefiner, RefineInput
from mmrefine.registry import MODELS


@MODELS.register_module()
class BrightRefiner(BaseRefiner):
    """The bright pixels near the coarse mask, some of them flipped; the score is the coarse mask's share in them.

    Args:
        reach_px: how far from the mask it looks.
        noise: share of the pixels near the mask that are flipped, drawn from the input's generator.
    """

    def __init__(self, reach_px: int = 5, noise: float = 0.0, gate: dict | None = None):
        super().__init__(gate)
        self.reach_px, self.noise = reach_px, noise
        self.threshold = torch.nn.Parameter(torch.tensor([100.0]))
        self.batches: list[list[int]] = []

    def forward(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError('this refiner has nothing to learn')

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[tuple[np.ndarray, np.ndarray]]:
        self.batches.append([len(item.masks) for item in inputs])
        return [self._refine_image(item) for item in inputs]

    def _refine_image(self, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        kernel = np.ones((2 * self.reach_px + 1,) * 2, np.uint8)
        near = np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in item.masks])
        flipped = (torch.rand(near.shape, generator=item.generator) < self.noise).numpy()
        refined = near & ((item.image.mean(axis=2) > self.threshold.item()) ^ flipped)
        areas_px = np.maximum(np.count_nonzero(refined, axis=(1, 2)), 1)
        return refined, np.count_nonzero(refined & item.masks, axis=(1, 2)) / areas_px
