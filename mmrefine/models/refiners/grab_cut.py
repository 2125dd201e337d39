"""GrabCut (Rother et al., SIGGRAPH 2004), by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from mmrefine.models.refiners.crop_refiner import CropRefiner
from mmrefine.registry import MODELS


@MODELS.register_module()
class GrabCut(CropRefiner):
    """GrabCut, a baseline without weights: colour models of object and background, graph cut near the boundary.

    GrabCut predicts no probabilities: where it differs from the coarse mask, the probability of its label is ``trust``.
    OpenCV's random numbers are seeded for each mask.

    Args:
        band_ratio: width of the band on both sides of the coarse boundary in which labels may change, as a fraction of
            the square root of the mask's area.
        steps: number of iterations.
        trust: see above, in [0.5, 1].
        **kwargs: arguments of :class:`CropRefiner`.
    """

    def __init__(self, band_ratio: float = 0.15, steps: int = 5, trust: float = 0.6, **kwargs) -> None:
        super().__init__(**kwargs)
        if band_ratio <= 0 or steps < 1 or not 0.5 <= trust <= 1:
            raise ValueError(
                'band_ratio must be above 0, steps at least 1 and trust in [0.5, 1], '
                f'got {band_ratio}, {steps} and {trust}.'
            )
        self.band_ratio, self.steps, self.trust = band_ratio, steps, trust

    def _probabilities(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if mask.all():
            return mask.astype(np.float32)  # there is no background for a colour model
        inside = mask.astype(np.uint8)
        band_px = max(self.band_ratio * mask.sum() ** 0.5, 2)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5) + cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        likely = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        labels = np.where(depth > band_px, np.where(mask, cv2.GC_FGD, cv2.GC_BGD), likely).astype(np.uint8)
        models = np.zeros((2, 1, 65))
        cv2.setRNGSeed(0)
        cv2.grabCut(image[..., ::-1].copy(), labels, None, models[0], models[1], self.steps, cv2.GC_INIT_WITH_MASK)
        cut = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
        return np.where(cut, self.trust, 1 - self.trust) * (cut != mask) + mask * (cut == mask)
