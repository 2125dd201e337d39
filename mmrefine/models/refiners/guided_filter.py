"""Guided filter (He, Sun and Tang, TPAMI 2013), which aligns the mask with edges of the image."""

from __future__ import annotations

import numpy as np

from mmrefine.core.guided_filter import guided_filter
from mmrefine.models.refiners.crop_refiner import CropRefiner
from mmrefine.registry import MODELS


@MODELS.register_module()
class GuidedFilter(CropRefiner):
    """Guided filter, a baseline without weights; see :func:`~mmrefine.core.guided_filter.guided_filter`.

    Args:
        radius_px, eps: parameters of the filter, for colours in [0, 1].
        **kwargs: arguments of :class:`CropRefiner`.
    """

    def __init__(self, radius_px: int = 8, eps: float = 1e-4, **kwargs) -> None:
        super().__init__(**kwargs)
        if radius_px < 1 or eps <= 0:
            raise ValueError(f'radius_px must be at least 1 and eps above 0, got {radius_px} and {eps}.')
        self.radius_px, self.eps = radius_px, eps

    def _probabilities(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return guided_filter(image / 255, mask, self.radius_px, self.eps).clip(0, 1)
