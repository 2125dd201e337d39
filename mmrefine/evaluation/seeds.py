"""Comparison of trainings over several seeds."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats


def last_metric(work_dir: str | os.PathLike, key: str) -> float:
    """Last value of a metric that a Runner logged.

    Args:
        work_dir: of the Runner, whose runs are ``<time>/vis_data/scalars.json``; the latest that has the metric counts.
        key: such as ``'mIoU'`` or ``'coco/segm_mAP'``.

    Raises:
        ValueError: no run logged it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = Path(folder, '20260101_000000', 'vis_data', 'scalars.json')
        ...     log.parent.mkdir(parents=True)
        ...     _ = log.write_text('{"mIoU": 40.5, "step": 100}\\n{"mIoU": 41.5, "step": 200}\\n')
        ...     last_metric(folder, 'mIoU')
        41.5
    """
    for log in sorted(Path(work_dir).glob('*/vis_data/scalars.json'), reverse=True):
        records = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
        values = [record[key] for record in records if key in record]
        if values:
            return float(values[-1])
    raise ValueError(f'no run in {work_dir} logged {key}; expected it in */vis_data/scalars.json.')


def paired_interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a mean difference by Student's t, for a few seeds.

    Args:
        differences: of two trainings with the same seed, one number per seed.
        confidence: in (0, 1).

    Returns:
        Lower and upper end.

    Raises:
        ValueError: fewer than two differences, or one that is not finite.

    Example:
        >>> low, high = paired_interval([1.0, 2.0, 3.0])
        >>> round(low, 2), round(high, 2)
        (-0.48, 4.48)
    """
    values = np.asarray(differences, np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f'an interval needs two finite differences at least, got {list(differences)}.')
    low, high = values.mean() + np.array(stats.t.interval(confidence, len(values) - 1)) * stats.sem(values)
    return float(low), float(high)
