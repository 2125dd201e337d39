"""Simulation of coarse masks for training and validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.core.coarse_masks import simulate_coarse_mask
from mmrefine.core.error_model import MaskErrorModel
from mmrefine.files.error_models import read_error_model
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SimulateCoarseMasks(BaseTransform):
    """Simulate ``coarse_masks`` from ``gt_masks``, with simulators or with measured errors.

    Args:
        simulators, iou_range: see :func:`~mmrefine.core.coarse_masks.simulate_coarse_mask`.
        error_model: use measured errors instead, see :class:`~mmrefine.core.error_model.MaskErrorModel`: a JSON file
            written by ``tools/analysis_tools/measure_mask_errors.py``, or its content.

    Raises:
        ValueError: both simulators and an error model are given, or the file is not an error model.
    """

    def __init__(
        self,
        simulators: Sequence[str] | None = None,
        iou_range: tuple[float, float] = (0.5, 1.0),
        error_model: str | dict | None = None,
    ):
        if simulators is not None and error_model is not None:
            raise ValueError('SimulateCoarseMasks needs either simulators or error_model, got both.')
        self.simulators, self.iou_range = simulators, tuple(iou_range)
        read = MaskErrorModel.from_dict if isinstance(error_model, dict) else read_error_model
        self.error_model = None if error_model is None else read(error_model)

    def transform(self, results: dict) -> dict:
        results['coarse_masks'] = np.stack([self._simulate(mask, results) for mask in results['gt_masks']])
        return results

    def _simulate(self, mask: np.ndarray, results: dict) -> np.ndarray:
        if self.error_model is not None:
            return self.error_model.simulate(mask, results['rng'])
        return simulate_coarse_mask(mask, results['rng'], results['img'], self.simulators, self.iou_range)
