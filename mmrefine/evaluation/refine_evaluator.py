"""Evaluator that reports metrics before and after test-time refinement, in one pass over the data."""

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

# Arguments of metrics of mmengine, MMDetection and MMSegmentation that are output paths.
_OUTPUTS = ('outfile_prefix', 'output_dir', 'out_file_path')
# Parts of the keys of MMDetection's box metrics: CocoMetric and LVISMetric with 'bbox' or 'proposal', and others.
_OF_BOXES = ('bbox', 'proposal', '/AR', 'pascal_voc/', 'openimages/', 'crowd_human/', 'motchallenge-metric/',
             'reid-metric/', 'lvis_fixed_ap/', 'dod/', 'refexp/', 'grefcoco/', 'flickr30k/')  # fmt: skip


@EVALUATOR.register_module()
class RefineEvaluator(Evaluator):
    """Evaluator that reports ``refined/<key>``, ``coarse/<key>`` and ``gain/<key>`` for every key of its metrics.

    Every metric is built twice, for refined predictions and for those before :class:`~mmrefine.engine.RefineHook`;
    files of the latter have names ending in ``_coarse``. ``accepted`` is the fraction of masks replaced. To keep
    the checkpoint with the best refined masks, set for example ``save_best='refined/coco/segm_mAP'``.

    Args:
        metrics: config of a metric, or a list of configs.

    Raises:
        TypeError: a metric is not a config.
    """

    def __init__(self, metrics: Mapping | Sequence[Mapping]):
        metrics = [metrics] if isinstance(metrics, Mapping) else metrics
        if not isinstance(metrics, Sequence) or not all(isinstance(metric, Mapping) for metric in metrics):
            raise TypeError(
                'RefineEvaluator builds every metric twice and needs configs, such as '
                f"[dict(type='CocoMetric', ...)], got {metrics!r}."
            )
        super().__init__(metrics)
        self.coarse = Evaluator([_with_coarse_outputs(metric) for metric in metrics])
        self.accepted = _AcceptedShare()

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the dataset, which is passed on to the metrics."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        Evaluator.dataset_meta.fset(self, dataset_meta)
        self.coarse.dataset_meta = dataset_meta

    def process(self, data_samples: Sequence[BaseDataElement | dict], data_batch: Any = None) -> None:
        """Process refined and coarse predictions of a batch.

        Raises:
            ValueError: a sample has no ``coarse``, because RefineHook was not used.
        """
        refined, coarse = [], []
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else dict(sample)
            before = fields.pop('coarse', None)
            if before is None:
                raise ValueError(
                    'RefineEvaluator needs RefineHook, got a prediction without coarse masks; add '
                    "custom_hooks = [dict(type='mmrefine.RefineHook', refiner=...)]."
                )
            self.accepted.process(data_batch, [before])
            coarse.append({**fields, **{name: value for name, value in before.items() if name != 'accepted'}})
            refined.append(fields)
        self.coarse.process(coarse, data_batch)
        super().process(refined, data_batch)

    def evaluate(self, size: int) -> dict[str, Any]:
        """All metrics, refined masks first and boxes last, because ``save_best='auto'`` uses the first."""
        print_log('Metrics of the coarse masks, as predicted by the model:', logger='current')
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
    """Fraction of masks that were replaced; NaN if no mask was refined."""

    default_prefix = ''

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        self.results.extend(np.asarray(sample['accepted'], bool) for sample in data_samples)

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        accepted = np.concatenate([np.zeros(0, bool), *results])
        return {'accepted': float(accepted.mean()) if len(accepted) else float('nan')}


def _is_of_boxes(key: str) -> bool:
    """Whether a key is that of a metric of boxes or proposals, which refinement does not change."""
    return any(text in key for text in _OF_BOXES)


def _with_coarse_outputs(metric: Mapping) -> dict:
    """Config of a metric whose output files have names ending in ``_coarse``."""
    renamed = dict(metric)
    for key in _OUTPUTS:
        if renamed.get(key) is not None:
            path = Path(renamed[key])
            renamed[key] = str(path.with_name(f'{path.stem}_coarse{path.suffix}'))
    return renamed
