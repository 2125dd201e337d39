"""Coarse masks for training and for validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.core.coarse_masks import simulate_coarse_mask
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SimulateCoarseMasks(BaseTransform):
    """``gt_masks`` -> ``coarse_masks`` by :func:`~mmrefine.core.coarse_masks.simulate_coarse_mask`.

    Args:
        simulators, iou_range: see there.
    """

    def __init__(self, simulators: Sequence[str] | None = None, iou_range: tuple[float, float] = (0.5, 1.0)):
        self.simulators, self.iou_range = simulators, tuple(iou_range)

    def transform(self, results: dict) -> dict:
        results['coarse_masks'] = np.stack(
            [
                simulate_coarse_mask(mask, results['rng'], results['img'], self.simulators, self.iou_range)
                for mask in results['gt_masks']
            ]
        )
        return results
