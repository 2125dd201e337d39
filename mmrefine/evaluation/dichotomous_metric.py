"""Metrics of dichotomous and salient object segmentation (DIS5K, ECSSD, ...) by PySODMetrics."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.evaluation.refine_metric import read_masks
from mmrefine.registry import METRICS
from mmrefine.utils import require

_SIDES = ('coarse', 'refined')
# PySODMetrics requires opencv-python-headless, which would overwrite the installed OpenCV.
_INSTALL = 'pip install --no-deps pysodmetrics && pip install scikit-image scikit-learn'
METRIC_NAMES = ('max_f', 'weighted_f', 'mae', 's', 'max_e', 'mean_e', 'hce')


@METRICS.register_module()
class DichotomousMetric(BaseMetric):
    """Max F, weighted F, MAE, S, max and mean E, and HCE of coarse and refined masks.

    Reads data samples like :class:`~mmrefine.evaluation.RefineMetric`; every mask counts as an image. The keys are
    ``coarse/<metric>`` and ``refined/<metric>``, and for groups ``<group>/coarse/<metric>`` etc. HCE (human correction
    efforts; IS-Net, ECCV 2022) is the number of clicks and polygon points needed to correct a mask; the other metrics
    are in [0, 1].

    Masks are binary, so that max F and max E, the maxima over thresholds, are those of the single mask.

    Args:
        group_by: field of the data samples that is the name of their group, such as ``'source'``.
        hce: whether to compute HCE, which takes seconds for a large mask.
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        ImportError: PySODMetrics is not installed.
    """

    def __init__(
        self,
        group_by: str | None = None,
        hce: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.group_by, self.hce = group_by, hce
        require('py_sod_metrics', _INSTALL, 'DichotomousMetric')

    def process(self, data_batch: object, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Evaluate a batch; keeps one entry per sample."""
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            gt = _planes(read_masks(fields, 'gt_masks'))
            entry = {'group': str(fields[self.group_by]) if self.group_by else ''}
            for side in _SIDES:
                masks = _planes(read_masks(fields, f'{side}_masks'))
                entry[side] = [self._score(mask, gt_mask) for mask, gt_mask in zip(masks, gt, strict=True)]
            self.results.append(entry)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Means over all masks and over those of each group, logged as a table."""
        groups = {'': results}
        if self.group_by:
            for entry in results:
                groups.setdefault(entry['group'], []).append(entry)
        metrics: dict[str, float] = {}
        table = Table(box=box.MARKDOWN)
        for column in ('group', 'side', *self._names()):
            table.add_column(column)
        for group, entries in groups.items():
            for side in _SIDES:
                rows = [row for entry in entries for row in entry[side]]
                means = np.mean(rows, axis=0) if rows else np.full(len(self._names()), np.nan)
                prefix = f'{group}/{side}' if group else side
                metrics.update(
                    {f'{prefix}/{name}': float(mean) for name, mean in zip(self._names(), means, strict=True)}
                )
                table.add_row(group or 'all', side, *(f'{mean:.3f}' for mean in means))
        Console(width=200).print(table)
        return metrics

    def _names(self) -> tuple[str, ...]:
        return METRIC_NAMES if self.hce else METRIC_NAMES[:-1]

    def _score(self, mask: np.ndarray, gt_mask: np.ndarray) -> list[float]:
        sod = require('py_sod_metrics', _INSTALL, 'DichotomousMetric')
        pred, gt = (plane.astype(np.uint8) * 255 for plane in (mask, gt_mask))
        names = ['Fmeasure', 'WeightedFmeasure', 'MAE', 'Smeasure', 'Emeasure']
        names += ['HumanCorrectionEffortMeasure'] if self.hce else []
        found = {}
        for name in names:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # Fmeasure is deprecated, but its successor has another default of beta
                metric = getattr(sod, name)()
            metric.step(pred, gt)
            found.update(metric.get_results())
        values = [
            found['fm']['curve'].max(),
            found['wfm'],
            found['mae'],
            found['sm'],
            found['em']['curve'].max(),
            found['em']['curve'].mean(),
        ]
        return [float(value) for value in (*values, *([found['hce']] if self.hce else []))]


def _planes(masks: np.ndarray) -> np.ndarray:
    """Convert (N, H, W) or (H, W) masks to (N, H, W) bool."""
    return masks.reshape(-1, *masks.shape[-2:]) > 0
