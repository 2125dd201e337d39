"""Evaluator of any metrics before and after test-time refinement, in one pass over the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from mmrefine.registry import EVALUATOR

# Where metrics of mmengine, MMDetection and MMSegmentation write to.
_OUTPUTS = ('outfile_prefix', 'output_dir', 'out_file_path')


# In keys of MMDetection's metrics of boxes: CocoMetric and LVISMetric with 'bbox', 'proposal', 'proposal_fast'; others.
_OF_BOXES = ('bbox', 'proposal', '/AR', 'pascal_voc/', 'openimages/', 'crowd_human/')


@EVALUATOR.register_module()
class RefineEvaluator(Evaluator):
    """Evaluator of ``refined/<key>``, ``coarse/<key>`` and ``gain/<key>`` for every key of its metrics.

    Every metric is built twice, and one of the two gets the predictions before
    :class:`~mmrefine.engine.RefineHook`; what it writes to files goes to names that end in ``_coarse``. ``accepted`` is
    the share of the masks given to the refiner that it replaced. To keep the best checkpoint by refined masks write for
    example ``save_best='refined/coco/segm_mAP'``.

    Args:
        metrics: config of a metric, or a list of such.

    Raises:
        TypeError: a metric that is not a config.
    """

    def __init__(self, metrics: Mapping | Sequence[Mapping]):
        metrics = [metrics] if isinstance(metrics, Mapping) else metrics
        if not isinstance(metrics, Sequence) or not all(isinstance(metric, Mapping) for metric in metrics):
            raise TypeError(
                'RefineEvaluator builds every metric twice and needs their configs, such as '
                f"[dict(type='CocoMetric', ...)], got {metrics!r}."
            )
        super().__init__(metrics)
        self.coarse = Evaluator([_writing_elsewhere(metric) for metric in metrics])
        self.accepted = _AcceptedShare()

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the dataset, which its metrics get too."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        Evaluator.dataset_meta.fset(self, dataset_meta)
        self.coarse.dataset_meta = dataset_meta

    def process(self, data_samples: Sequence[BaseDataElement | dict], data_batch: Any = None) -> None:
        """Hand refined and coarse predictions of a batch to their metrics.

        Raises:
            ValueError: a sample without ``coarse``: no RefineHook was at work.
        """
        refined, coarse = [], []
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else dict(sample)
            before = fields.pop('coarse', None)
            if before is None:
                raise ValueError(
                    'RefineEvaluator got a prediction without its coarse masks; it is used with RefineHook: add '
                    "custom_hooks = [dict(type='mmrefine.RefineHook', refiner=...)]."
                )
            self.accepted.process(data_batch, [before])
            coarse.append({**fields, **{name: value for name, value in before.items() if name != 'accepted'}})
            refined.append(fields)
        self.coarse.process(coarse, data_batch)
        super().process(refined, data_batch)

    def evaluate(self, size: int) -> dict[str, Any]:
        """All metrics; refined ones come first, for ``save_best='auto'`` takes the first, and those of boxes last."""
        print_log('Metrics of the coarse masks, as the model predicts them:', logger='current')
        coarse = self.coarse.evaluate(size)
        print_log('Metrics of the refined masks:', logger='current')
        refined = super().evaluate(size)
        gains = {
            f'gain/{key}': value - coarse[key]
            for key, value in refined.items()
            if isinstance(value, Real) and isinstance(coarse.get(key), Real)
        }
        metrics = {
            **{f'refined/{key}': value for key, value in refined.items()},
            **{f'coarse/{key}': value for key, value in coarse.items()},
            **gains,
            **self.accepted.evaluate(size),
        }
        return dict(sorted(metrics.items(), key=lambda item: _is_of_boxes(item[0])))


class _AcceptedShare(BaseMetric):
    """Share of masks given to the refiner that it replaced; NaN without any."""

    default_prefix = ''

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        self.results.extend(np.asarray(sample['accepted'], bool) for sample in data_samples)

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        accepted = np.concatenate([np.zeros(0, bool), *results])
        return {'accepted': float(accepted.mean()) if len(accepted) else float('nan')}


def _is_of_boxes(key: str) -> bool:
    """Whether a metric, by its key, is of boxes or proposals, which refinement does not change."""
    return any(text in key for text in _OF_BOXES)


def _writing_elsewhere(metric: Mapping) -> dict:
    """The config of a metric with other names for the files it writes."""
    renamed = dict(metric)
    for key in _OUTPUTS:
        if renamed.get(key) is not None:
            path = Path(renamed[key])
            renamed[key] = str(path.with_name(f'{path.stem}_coarse{path.suffix}'))
    return renamed
