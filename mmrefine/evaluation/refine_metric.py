"""mmengine metric that compares coarse and refined masks with the ground truth."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from mmrefine.evaluation.functional import POOLING_WEIGHTS, check_metrics, evaluate_masks
from mmrefine.evaluation.summary import format_scores_table, gain_intervals, summarize_by_group, summarize_refinement
from mmrefine.files.atomic import whole_file
from mmrefine.registry import METRICS

_SIDES = ('coarse', 'refined')


@METRICS.register_module()
class RefineMetric(BaseMetric):
    """Mean metrics before and after refinement, gains with 95 % intervals, harm, win and kept rates.

    Reads ``gt_masks``, ``coarse_masks`` and ``refined_masks``, (N, H, W) or (H, W) arrays or tensors, from every data
    sample, and optionally the gate's decisions ``accepted`` (N,), ``scores`` (N,) and ``gate_features``, a dict of
    (N,). Only numbers are stored, no masks.

    Results have the keys of :func:`mmrefine.evaluation.summarize_refinement` and
    :func:`~mmrefine.evaluation.gain_intervals`, such as ``refined/iou`` or ``harm_rate``, and with ``group_by`` also
    ``<group>/<key>``. To keep the best checkpoint, use for example
    ``CheckpointHook(save_best='refined/boundary_iou', rule='greater')``.

    Args:
        metric: some of ``'iou'``, ``'boundary_iou'``, ``'mba'``. (mmengine would take ``metrics`` for the config of an
            evaluator.)
        group_by: field of the data samples with the name of the group: one value, such as ``source``, or N values, such
            as ``labels``; or several fields from the widest to the narrowest, such as ``('kind', 'source')``, see
            :func:`~mmrefine.evaluation.summarize_by_group`.
        per_mask_file: ``.csv`` or ``.json`` file (a list of records) for the metrics of every mask, overwritten by each
            evaluation; undefined values are empty (CSV) or null (JSON). Input of
            ``tools/analysis_tools/calibrate_gate.py``.
        collect_device: device with which processes exchange results, ``'cpu'`` or ``'gpu'``.
        prefix: prefix of all keys.

    Raises:
        ValueError: a metric is unknown, or ``per_mask_file`` has another suffix.
    """

    def __init__(
        self,
        metric: Sequence[str] = ('iou', 'boundary_iou', 'mba'),
        group_by: str | Sequence[str] | None = None,
        per_mask_file: str | os.PathLike | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        check_metrics(metric)
        if per_mask_file is not None and Path(per_mask_file).suffix not in ('.csv', '.json'):
            raise ValueError(f'per_mask_file must end in .csv or .json, got {str(per_mask_file)!r}.')
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = tuple(metric)
        self.group_by = (group_by,) if isinstance(group_by, str) else tuple(group_by or ())
        self.per_mask_file = None if per_mask_file is None else Path(per_mask_file)

    def process(self, data_batch: object, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Evaluate a batch; stores one entry per sample, so that mmengine can drop the padding of samplers."""
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            gt = read_masks(fields, 'gt_masks')
            entry = {
                'masks': {
                    side: evaluate_masks(read_masks(fields, f'{side}_masks'), gt, self.metrics) for side in _SIDES
                }
            }
            num_masks = len(gt) if gt.ndim == 3 else 1
            entry['img_path'] = str(fields.get('img_path') or fields.get('img_id', ''))
            entry['groups'] = [_values(fields, field, num_masks) for field in self.group_by]
            entry['gate'] = _gate_columns(fields, num_masks)
            self.results.append(entry)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Summarize the results of all processes, log them as a table, and write the per-mask file."""
        names = (*self.metrics, *(POOLING_WEIGHTS[name] for name in self.metrics if name in POOLING_WEIGHTS))
        coarse, refined = (
            {name: np.concatenate([np.zeros(0), *(entry['masks'][side][name] for entry in results)]) for name in names}
            for side in _SIDES
        )
        images = [entry['img_path'] for entry in results for _ in entry['masks']['coarse'][names[0]]]
        accepted = None
        if results and all('accepted' in entry['gate'] for entry in results):
            accepted = [value for entry in results for value in entry['gate']['accepted']]
        metrics = summarize_refinement(coarse, refined, accepted=accepted)
        metrics.update(gain_intervals(coarse, refined, images))
        summaries = {'all': metrics}
        if self.group_by:
            groups = [group for entry in results for group in zip(*entry['groups'], strict=True)]
            by_group = summarize_by_group(coarse, refined, groups, accepted=accepted, images=images)
            metrics = {**metrics, **{f'{group}/{key}': v for group, s in by_group.items() for key, v in s.items()}}
            summaries = {**by_group, **summaries}
        print_log('\n' + format_scores_table(summaries, '/'.join(self.group_by) or 'masks of'), logger='current')
        if self.per_mask_file is not None:
            self._write_per_mask(results)
        return metrics

    def _write_per_mask(self, results: list[dict]) -> None:
        records = [record for entry in results for record in self._records(entry)]
        columns = list(dict.fromkeys(column for record in records for column in record)) or self._columns()
        if self.per_mask_file.suffix == '.json':
            text = json.dumps([{column: record.get(column) for column in columns} for record in records], indent=1)
        else:
            stream = io.StringIO(newline='')
            writer = csv.DictWriter(stream, columns, lineterminator='\n')
            writer.writeheader()
            writer.writerows(records)
            text = stream.getvalue()
        with whole_file(self.per_mask_file) as file:
            file.write(text)

    def _columns(self) -> list[str]:
        return ['img_path', 'mask', *self.group_by, *(f'{side}_{name}' for name in self.metrics for side in _SIDES)]

    def _records(self, entry: dict) -> list[dict]:
        """One record for each mask of a sample; ``mask`` is its index."""
        records = []
        for index in range(len(entry['masks']['coarse'][self.metrics[0]])):
            values = [float(entry['masks'][side][name][index]) for name in self.metrics for side in _SIDES]
            cells = [entry['img_path'], index, *(column[index] for column in entry['groups']), *map(_defined, values)]
            gate_values = {name: _defined(column[index]) for name, column in entry['gate'].items()}
            records.append({**dict(zip(self._columns(), cells, strict=True)), **gate_values})
        return records


def _values(fields: dict, field: str, num_masks: int) -> list[str]:
    """Values of a field of a data sample, one for each mask."""
    if fields.get(field) is None:
        raise ValueError(f'group_by={field!r}: expected this field in every data sample, got {sorted(fields)}.')
    value = fields[field]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return [str(value)] * num_masks
    if len(value) != num_masks:
        raise ValueError(f'group_by={field!r}: expected one value or {num_masks}, got {len(value)}.')
    return [str(group) for group in value]


def _gate_columns(fields: dict, num_masks: int) -> dict[str, list]:
    """Decisions, scores and features of the gate as columns, if the sample has them."""
    columns = {'accepted': fields.get('accepted'), 'score': fields.get('scores'), **(fields.get('gate_features') or {})}
    gate_columns = {
        name: np.atleast_1d(np.asarray(column)).tolist() for name, column in columns.items() if column is not None
    }
    wrong = {name: len(column) for name, column in gate_columns.items() if len(column) != num_masks}
    if wrong:
        raise ValueError(f'expected {num_masks} gate values for {num_masks} masks of a data sample, got {wrong}.')
    return gate_columns


def _defined(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value


def read_masks(fields: dict, key: str) -> np.ndarray:
    masks = fields.get(key)
    if masks is None:
        raise ValueError(
            f'RefineMetric needs coarse_masks, gt_masks and refined_masks in every data sample; {key} is missing in '
            f'{sorted(fields)}.'
        )
    return masks.detach().cpu().numpy() if isinstance(masks, torch.Tensor) else masks
