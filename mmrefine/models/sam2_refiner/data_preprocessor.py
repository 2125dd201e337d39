"""Data preprocessor of SAM 2."""

from __future__ import annotations

import torch
from mmengine.model import BaseDataPreprocessor

from mmrefine.core.checks import IMAGENET_MEAN, IMAGENET_STD
from mmrefine.registry import MODELS


@MODELS.register_module()
class SAM2DataPreprocessor(BaseDataPreprocessor):
    """Stacks (3, S, S) uint8 RGB tensors to (B, 3, S, S) float32, normalized by ImageNet's mean and deviation.

    Images are not padded: the pipeline resizes them to the input size of the model.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer('mean', torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """
        Args:
            data: ``inputs``, a list of images or a batch, and ``data_samples``.

        Raises:
            ValueError: the images have different sizes.
            TypeError: the images are not uint8.
        """
        data = self.cast_data(data)
        images = list(data['inputs'])
        sizes = {tuple(image.shape) for image in images}
        if len(sizes) != 1:
            raise ValueError(
                f'images of a batch must have the same size, got {sorted(sizes)}; resize them in the pipeline.'
            )
        if images[0].dtype != torch.uint8:
            raise TypeError(f'images must be uint8 in 0..255, got {images[0].dtype}; they are normalized here.')
        return {**data, 'inputs': self.normalize(torch.stack(images).float())}

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalize (..., 3, S, S) float in 0..255."""
        return (pixels / 255 - self.mean) / self.std
