"""Coarse masks by boundary perturbation, as in the training of SegRefiner (NeurIPS 2023, implementation details)."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.core.boundary_perturbation import perturb_boundary
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PerturbBoundary(BaseTransform):
    """Perturb ``gt_masks`` to ``coarse_masks``; use it before cropping to perturb whole masks.

    Unlike ``SimulateCoarseMasks`` it accepts every result, even if a small or thin object is nearly lost.

    Args:
        iou_target: see :func:`~mmrefine.core.boundary_perturbation.perturb_boundary`.
        fill_prob: probability that holes of the mask are filled first.
        prob: probability of a new coarse mask; otherwise existing coarse masks stay.
    """

    def __init__(self, iou_target: float = 0.8, fill_prob: float = 0.0, prob: float = 1.0):
        self.iou_target, self.fill_prob, self.prob = iou_target, fill_prob, prob

    def transform(self, results: dict) -> dict:
        rng = results['rng']
        if rng.random() < self.prob:
            masks = [fill_holes(mask) if rng.random() < self.fill_prob else mask for mask in results['gt_masks']]
            coarse = [perturb_boundary(mask, rng, iou_target=self.iou_target) for mask in masks]
            results['coarse_masks'] = np.stack(coarse) if coarse else results['gt_masks'].copy()
        return results


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill the holes of an (H, W) bool mask."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled.astype(bool)
