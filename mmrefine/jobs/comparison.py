"""Comparison of refiners on the same masks with ground truth. Legend: N masks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.core.gate import QualityGate
from mmrefine.evaluation import evaluate_masks, paired_bootstrap, summarize_by_group, summarize_refinement
from mmrefine.jobs.labelled import LabelledImage
from mmrefine.models.refiners import BaseRefiner
from mmrefine.structures import RefineResult

METRIC_NAMES = ('iou', 'boundary_iou')


def measure_refiner(
    refiner: BaseRefiner, images: Iterable[LabelledImage], gates: Mapping[str, QualityGate | None] | None = None
) -> dict[str, list[dict]]:
    """Refine masks once, and evaluate the proposals with different gates.

    Args:
        refiner: the refiner; its own gate is not used.
        images: images with ground truth.
        gates: gates by name; None: ``{'': None}``, which accepts every proposal that is not empty.

    Returns:
        for each gate one record per mask, as written by :class:`~mmrefine.evaluation.RefineMetric` with
        ``per_mask_file``, plus ``ms``, the refinement time of the image divided by its number of masks.
    """
    gates = {'': None} if gates is None else gates
    free = refiner.with_gate(False)
    records: dict[str, list[dict]] = {name: [] for name in gates}
    for item in images:
        start = time.perf_counter()
        result = free.refine(item.image, item.coarse, generator=torch.Generator().manual_seed(0))
        ms = 1000 * (time.perf_counter() - start) / len(item.coarse)
        sides = {
            'coarse': evaluate_masks(item.coarse, item.gt, METRIC_NAMES),
            'proposed': evaluate_masks(result.masks, item.gt, METRIC_NAMES),
        }
        for name, gate in gates.items():
            records[name] += [_record(item, result, sides, index, gate, ms) for index in range(len(result))]
    return records


def summarize_records(records: Sequence[Mapping]) -> dict[str, float]:
    """Summarize the records of a refiner: gains with intervals, harm, win and kept rates, mean time."""
    coarse, refined = (
        {name: [record[f'{side}_{name}'] for record in records] for name in METRIC_NAMES}
        for side in ('coarse', 'refined')
    )
    images, accepted = ([record[name] for record in records] for name in ('img_path', 'accepted'))
    summary = summarize_by_group(coarse, refined, ['all'] * len(records), accepted=accepted, images=images)['all']
    return {**summary, 'ms': float(np.mean([record['ms'] for record in records]))}


def gain_difference(records: Sequence[Mapping], others: Sequence[Mapping]) -> tuple[float, float]:
    """95 % interval of the difference of two refiners' mean IoU on the same masks (paired bootstrap)."""
    differences = [one['refined_iou'] - two['refined_iou'] for one, two in zip(records, others, strict=True)]
    return paired_bootstrap(differences, images=[record['img_path'] for record in records])


def best_of(records: Mapping[str, Sequence[Mapping]]) -> str:
    """Recommend a refiner: the least harmful, then the fastest, among those not significantly worse than the best.

    Significantly worse means that the 95 % interval of the difference of mean IoU lies below 0.
    """
    summaries = {name: summarize_records(own) for name, own in records.items()}
    leader = max(summaries, key=lambda name: summaries[name]['gain/iou'])
    level = [name for name, own in records.items() if gain_difference(own, records[leader])[1] >= 0]
    return min(level, key=lambda name: (round(summaries[name]['harm_rate'], 6), summaries[name]['ms']))


def oracle(records: Mapping[str, Sequence[Mapping]]) -> dict[str, float]:
    """Upper bound: for each mask the refiner, or the coarse mask, with the highest IoU is chosen by ground truth."""
    columns = list(zip(*records.values(), strict=True))
    coarse = [column[0]['coarse_iou'] for column in columns]
    best = [max([column[0]['coarse_iou'], *(record['refined_iou'] for record in column)]) for column in columns]
    return summarize_refinement({'iou': coarse}, {'iou': best})


def format_comparison(records: Mapping[str, Sequence[Mapping]]) -> str:
    """Markdown table with one row per refiner: gains with 95 % intervals, rates, time per mask."""
    table = Table(box=box.MARKDOWN)
    table.add_column('refiner')
    for title in ('masks', 'IoU gain [95 %]', 'boundary IoU gain [95 %]', 'harm %', 'win %', 'kept %', 'ms/mask'):
        table.add_column(title, justify='right')
    for name, own in records.items():
        scores = summarize_records(own)
        gains = [
            '{:+.1f} [{:+.1f}, {:+.1f}]'.format(
                *(100 * scores[f'{key}/{metric}'] for key in ('gain', 'gain_low', 'gain_high'))
            )
            for metric in METRIC_NAMES
        ]
        rates = [f'{100 * scores[key]:.1f}' for key in ('harm_rate', 'win_rate', 'kept_rate')]
        table.add_row(name, str(len(own)), *gains, *rates, f'{scores["ms"]:.0f}')
    console = Console(width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return '\n'.join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def _record(
    item: LabelledImage, result: RefineResult, sides: Mapping, index: int, gate: QualityGate | None, ms: float
) -> dict:
    """Record of one mask with one gate."""
    features = {name: float(values[index]) for name, values in result.features.items()}
    taken = bool(result.accepted[index]) and not (gate.judge(features) if gate else '')
    record = {'img_path': item.path, 'mask': index, 'kind': item.kind}
    for metric in METRIC_NAMES:
        record[f'coarse_{metric}'] = float(sides['coarse'][metric][index])
        record[f'refined_{metric}'] = float(sides['proposed' if taken else 'coarse'][metric][index])
    return {**record, 'accepted': taken, **features, 'ms': ms}
