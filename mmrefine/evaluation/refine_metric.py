"""Metric of coarse and refined masks against the ground truth, for mmengine's validation and test loops."""

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
    """Mean of each metric before and after refinement, its gain with a 95 % interval, harm, win and kept rates.

    Reads ``gt_masks``, ``coarse_masks`` and ``refined_masks``, each (N, H, W) or (H, W), arrays or tensors, from every
    data sample, and keeps only the numbers: memory does not grow with the size of the masks. Where samples have them,
    the gate's decisions ``accepted`` (N,), ``scores`` (N,) and ``gate_features``, a dict of (N,), are read too.

    The metrics are the flat keys of :func:`mmrefine.evaluation.summarize_refinement` and
    :func:`~mmrefine.evaluation.gain_intervals`, such as ``refined/iou`` or ``harm_rate``, and with ``group_by`` the
    same again as ``<group>/<key>``. To keep the best checkpoint by one of them write
    ``CheckpointHook(save_best='refined/boundary_iou', rule='greater')``.

    Args:
        metric: names out of ``'iou'``, ``'boundary_iou'``, ``'mba'``; not ``metrics``, which mmengine reads as the
            config of an evaluator.
        group_by: field of the data samples whose value names a group: one value for the sample, such as its ``source``,
            or N values, such as its ``labels``; or several fields from the widest to the narrowest, such as
            ``('kind', 'source')``, see :func:`~mmrefine.evaluation.summarize_by_group`.
        per_mask_file: where to write the numbers of every mask, ``.csv`` or ``.json`` (a list of records); overwritten
            by each evaluation, undefined values are left empty (CSV) or null (JSON). Its form is what
            ``tools/analysis_tools/calibrate_gate.py`` reads.
        collect_device: ``'cpu'`` or ``'gpu'``, how ranks exchange results.
        prefix: put before every key.
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
        """Evaluate a batch; one entry per sample is kept, as mmengine drops the padding of a sampler by their count."""
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
        """Summarise the results of all ranks, log them as a table, and write the per-mask file."""
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
        """One flat record per mask of a sample; ``mask`` is its index there."""
        records = []
        for index in range(len(entry['masks']['coarse'][self.metrics[0]])):
            values = [float(entry['masks'][side][name][index]) for name in self.metrics for side in _SIDES]
            cells = [entry['img_path'], index, *(column[index] for column in entry['groups']), *map(_defined, values)]
            gate_values = {name: _defined(column[index]) for name, column in entry['gate'].items()}
            records.append({**dict(zip(self._columns(), cells, strict=True)), **gate_values})
        return records


def _values(fields: dict, field: str, num_masks: int) -> list[str]:
    """Values of one field of a data sample, one per mask."""
    if fields.get(field) is None:
        raise ValueError(f'group_by={field!r}: a data sample has no such field, it has {sorted(fields)}.')
    value = fields[field]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return [str(value)] * num_masks
    if len(value) != num_masks:
        raise ValueError(f'group_by={field!r}: expected one value or {num_masks}, got {len(value)}.')
    return [str(group) for group in value]


def _gate_columns(fields: dict, num_masks: int) -> dict[str, list]:
    """Decisions, scores and features of the gate, one column each, as far as the sample has them."""
    columns = {'accepted': fields.get('accepted'), 'score': fields.get('scores'), **(fields.get('gate_features') or {})}
    gate_columns = {
        name: np.atleast_1d(np.asarray(column)).tolist() for name, column in columns.items() if column is not None
    }
    wrong = {name: len(column) for name, column in gate_columns.items() if len(column) != num_masks}
    if wrong:
        raise ValueError(f'a data sample has {num_masks} masks but other numbers of gate values: {wrong}.')
    return gate_columns


def _defined(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value


def read_masks(fields: dict, key: str) -> np.ndarray:
    masks = fields.get(key)
    if masks is None:
        raise ValueError(
            f'RefineMetric needs coarse_masks, gt_masks and refined_masks in every data sample; {key} is missing, '
            f'there are {sorted(fields)}.'
        )
    return masks.detach().cpu().numpy() if isinstance(masks, torch.Tensor) else masks
