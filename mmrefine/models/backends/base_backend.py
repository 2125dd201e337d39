"""Interface of promptable segmentation models: encode an image once, then decode prompts from its features.

Legend: N prompts (one per mask), P points each, M outputs each, C channels, h and w of the embedding, H and W of the
image in pixels.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.prompts import InputFrame
from mmrefine.models.state_dicts import weights_digest

MASK_THRESHOLD = 0.0
"""Logit above which a pixel belongs to the mask."""


@dataclass(frozen=True)
class PromptFeatures:
    """Features of one image.

    Attributes:
        frame: position of the image in the model's input.
        embedding: (C, h, w), the image embedding.
        extras: further inputs of the backend's decoder by name, without a batch axis.
    """

    frame: InputFrame
    embedding: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, *args, **kwargs) -> PromptFeatures:
        """Move or cast all tensors, see :meth:`torch.Tensor.to`."""
        return replace(
            self,
            embedding=self.embedding.to(*args, **kwargs),
            extras={name: extra.to(*args, **kwargs) for name, extra in self.extras.items()},
        )


class PromptBackend(nn.Module, metaclass=ABCMeta):
    """Base class of promptable segmentation models: stateless, with frozen weights, always in evaluation mode.

    Attributes:
        input_hw: size of the model's input in pixels.
        prompt_hw: size of mask prompts and of output logits.
        segmenter: name of the attribute with the package's model.
    """

    segmenter: str
    input_hw: tuple[int, int]
    prompt_hw: tuple[int, int]

    @abstractmethod
    def frame(self, image_hw: tuple[int, int]) -> InputFrame:
        """Frame of an image of this size in the model's input."""

    @abstractmethod
    def encode(self, image: np.ndarray) -> PromptFeatures:
        """Features of one image, (H, W, 3) uint8 RGB, in float32 on the device of the weights."""

    @abstractmethod
    def predict(
        self,
        features: PromptFeatures,
        points: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        mask_inputs: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts of one image.

        Args:
            features: features from :meth:`encode`.
            points: (N, P, 2), (x, y) pixels of the image.
            labels: (N, P), 1 positive, 0 negative, -1 no point.
            boxes: (N, 4), (x1, y1, x2, y2) pixels of the image.
            mask_inputs: (N, 1, *prompt_hw) logits.

        Returns:
            mask logits (N, M, *prompt_hw) and predicted IoU (N, M).

        Raises:
            ValueError: there is no prompt, or points have no labels.
        """

    @property
    @abstractmethod
    def iou_head(self) -> nn.Module:
        """The head that predicts IoU, with its linear ``layers``; the last has one output per mask token."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def upscale(self, frame: InputFrame, logits: Tensor) -> Tensor:
        """Logits (N, h, w) of :meth:`predict` at the size of the image, (N, H, W)."""
        logits = logits[:, None]
        if frame.resized_hw != frame.input_hw:
            logits = F.interpolate(logits, frame.input_hw, mode='bilinear', align_corners=False)
            logits = logits[..., : frame.resized_hw[0], : frame.resized_hw[1]]
        return F.interpolate(logits, frame.image_hw, mode='bilinear', align_corners=False)[:, 0]

    def fingerprint(self) -> str:
        """Digest of everything that features of an image depend on: weights and settings.

        The IoU head is excluded: it does not change features, and may be adapted.
        """
        head = {id(tensor) for tensor in self.iou_head.state_dict(keep_vars=True).values()}
        others = {name: array for name, array in self.state_dict(keep_vars=True).items() if id(array) not in head}
        return f'{type(self).__name__} {self.input_hw} {self.settings()} {weights_digest(others)}'

    def train(self, mode: bool = True) -> PromptBackend:
        """Stay in evaluation mode."""
        return super().train(False)

    def settings(self) -> str:
        """Settings of the encoder that change features."""
        return ''

    def _freeze(self) -> None:
        self.requires_grad_(False)
        self.eval()

    @staticmethod
    def _check_prompts(points: np.ndarray | None, labels: np.ndarray | None, *others: np.ndarray | None) -> None:
        if (points is None) != (labels is None):
            raise ValueError('points and labels must be given together.')
        if points is None and all(other is None for other in others):
            raise ValueError('at least one of points, boxes and mask_inputs must be given.')


def dtype_of(encoder_dtype: str) -> torch.dtype:
    """The dtype in which an encoder runs.

    Raises:
        ValueError: another name than that of a floating-point type of 16 or 32 bits.
    """
    if encoder_dtype not in ('float32', 'bfloat16', 'float16'):
        raise ValueError(f"encoder_dtype must be 'float32', 'bfloat16' or 'float16', got {encoder_dtype!r}.")
    return getattr(torch, encoder_dtype)
