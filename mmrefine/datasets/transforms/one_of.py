"""A random choice between pipelines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OneOf(BaseTransform):
    """Run one of several pipelines, chosen with ``results['rng']``.

    Args:
        pipelines: lists of transforms.
        weights: relative frequency of each pipeline; None: equal.

    Raises:
        ValueError: the weights are negative or all 0, or their number differs from that of pipelines.
    """

    def __init__(self, pipelines: Sequence[Sequence[dict]], weights: Sequence[float] | None = None):
        weights = np.ones(len(pipelines)) if weights is None else np.asarray(weights, np.float64)
        if weights.shape != (len(pipelines),) or not (weights >= 0).all() or not weights.sum() > 0:
            raise ValueError(f'OneOf needs a weight for each of {len(pipelines)} pipelines, got {weights.tolist()}.')
        self.pipelines = [Compose([TRANSFORMS.build(step) for step in pipeline]) for pipeline in pipelines]
        self.shares = weights / weights.sum()

    def transform(self, results: dict) -> dict | None:
        return self.pipelines[results['rng'].choice(len(self.pipelines), p=self.shares)](results)
