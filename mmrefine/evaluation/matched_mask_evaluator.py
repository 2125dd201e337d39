"""Evaluator for test-time refinement with the metrics of a config and metrics of matched masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from mmrefine.evaluation.matched_mask_metric import MatchedMaskMetric
from mmrefine.evaluation.refine_evaluator import RefineEvaluator
from mmrefine.registry import EVALUATOR


@EVALUATOR.register_module()
class MatchedMaskEvaluator(RefineEvaluator):
    """:class:`RefineEvaluator` that also reports :class:`MatchedMaskMetric`, which compares coarse and refined masks.

    Args:
        metrics: see :class:`RefineEvaluator`.
        matched: keyword arguments of :class:`MatchedMaskMetric`.
    """

    def __init__(self, metrics: Mapping | Sequence[Mapping], matched: Mapping | None = None):
        super().__init__(metrics)
        self.matched = Evaluator([MatchedMaskMetric(**(matched or {}))])

    def process(self, data_samples: Sequence[BaseDataElement | dict], data_batch: Any = None) -> None:
        """Process a batch."""
        super().process(data_samples, data_batch)
        self.matched.process(data_samples, data_batch)

    def evaluate(self, size: int) -> dict[str, Any]:
        """All metrics; those of matched masks come last."""
        return {**super().evaluate(size), **self.matched.evaluate(size)}
