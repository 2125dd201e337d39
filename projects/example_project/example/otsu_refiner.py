"""Refiner by Otsu's threshold: selects the side that covers most of the coarse mask, near its boundary."""

import cv2
import numpy as np

from mmrefine.models.refiners import BaseRefiner, Proposal
from mmrefine.registry import MODELS


@MODELS.register_module()
class OtsuRefiner(BaseRefiner):
    """Propose the pixels within ``reach_px`` of a mask that are as bright or as dark as most of it."""

    def __init__(self, reach_px: int = 8, gate: dict | None = None):
        super().__init__(gate)
        self.reach_px = reach_px

    def forward(self, *args, **kwargs):
        raise NotImplementedError('OtsuRefiner has nothing to train.')

    def _refine_batch(self, inputs):
        proposals = ([self._propose(item.image, mask) for mask in item.masks] for item in inputs)
        return [Proposal(*map(np.array, zip(*masks_and_scores, strict=True))) for masks_and_scores in proposals]

    def _propose(self, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
        _, bright = cv2.threshold(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 0, 1, cv2.THRESH_OTSU)
        share = bright[mask].mean()
        near = cv2.dilate(mask.astype(np.uint8), np.ones((2 * self.reach_px + 1,) * 2)) > 0
        return near & (bright == (share > 0.5)), max(share, 1 - share)
