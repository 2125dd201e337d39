"""Fully connected CRF (Krähenbühl and Koltun, NeurIPS 2011)."""

from __future__ import annotations

import numpy as np

from mmrefine.core.dense_crf import bilateral_filter, mean_field, spatial_filter
from mmrefine.models.refiners.crop_refiner import CropRefiner
from mmrefine.registry import MODELS


@MODELS.register_module()
class DenseCRF(CropRefiner):
    """Dense CRF, a baseline without weights; see :mod:`mmrefine.core.dense_crf`.

    Args:
        confidence: probability that the coarse mask is correct at a pixel, in (0.5, 1).
        spatial_weight, spatial_sigma_px: weight and standard deviation of the smoothness kernel.
        bilateral_weight, bilateral_sigma_px, bilateral_sigma_rgb: weight and standard deviations of the appearance
            kernel, with colours in 0..255. Its grid has about ``(256 / bilateral_sigma_rgb) ** 3`` cells per square of
            ``bilateral_sigma_px``.
        steps: number of mean-field updates.
        max_side, **kwargs: arguments of :class:`CropRefiner`.
    """

    def __init__(
        self,
        confidence: float = 0.7,
        spatial_weight: float = 3,
        spatial_sigma_px: float = 3,
        bilateral_weight: float = 10,
        bilateral_sigma_px: float = 80,
        bilateral_sigma_rgb: float = 13,
        steps: int = 5,
        max_side: int | None = 640,
        **kwargs,
    ) -> None:
        super().__init__(max_side=max_side, **kwargs)
        if not 0.5 < confidence < 1:
            raise ValueError(f'confidence must lie between 0.5 and 1, got {confidence}.')
        if min(spatial_sigma_px, bilateral_sigma_px) <= 0 or bilateral_sigma_rgb < 3:
            raise ValueError('sigmas in pixels must be above 0, bilateral_sigma_rgb at least 3, got '
                             f'{spatial_sigma_px}, {bilateral_sigma_px} and {bilateral_sigma_rgb}.')  # fmt: skip
        self.log_odds = float(np.log(confidence / (1 - confidence)))
        self.weights = (spatial_weight, bilateral_weight)
        self.sigmas = (spatial_sigma_px, bilateral_sigma_px, bilateral_sigma_rgb)
        self.steps = steps

    def _probabilities(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        spatial_px, bilateral_px, bilateral_rgb = self.sigmas
        filters = [spatial_filter(spatial_px), bilateral_filter(image, bilateral_px, bilateral_rgb)]
        return mean_field(np.where(mask, self.log_odds, -self.log_odds), filters, self.weights, self.steps)
