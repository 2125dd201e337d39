"""Comparison of refiners on the same masks with ground truth. Legend: N masks."""

from __future__ import annotations

import math
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
    """95 % interval of the difference of two refiners' mean IoU on the same masks (paired bootstrap).

    It is infinite if all masks are of one image.
    """
    if _is_one_image(records):
        return -math.inf, math.inf
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


def route(records: Mapping[str, Sequence[Mapping]], folds: int = 5) -> list[dict]:
    """Route each mask to the refiner whose proposal promises most, by the evidence of its gate.

    What a refiner's ``expected_gain`` (or its ``score``, if it has none) is worth differs between refiners, so the
    gain in IoU is predicted from it by a line per refiner, fitted to the masks of other images. A mask of which no
    refiner promises a gain stays coarse.

    Args:
        records: of at least one refiner, of the same masks, without a gate.
        folds: the images are divided into so many; each mask is routed by what the others show.

    Returns:
        A record per mask: that of the chosen refiner; ``ms`` is the time of all.
    """
    names = np.unique([record['img_path'] for record in next(iter(records.values()))], return_inverse=True)[1]
    fold_of = names % min(folds, names.max() + 1)
    promises = []
    for own in records.values():
        key = 'expected_gain' if all('expected_gain' in record for record in own) else 'score'
        evidence = np.nan_to_num([record[key] for record in own])
        gains = np.array([record['refined_iou'] - record['coarse_iou'] for record in own])
        promised = np.zeros(len(own))
        for fold in np.unique(fold_of):
            others = fold_of != fold
            line = np.polynomial.Polynomial([0.0])
            if others.any():
                inputs = np.stack([np.ones(others.sum()), evidence[others]], axis=1)
                line = np.polynomial.Polynomial(np.linalg.lstsq(inputs, gains[others], rcond=None)[0])
            promised[~others] = line(evidence[~others])
        promises.append(promised)
    chosen, best = np.argmax(promises, axis=0), np.max(promises, axis=0)
    routed = []
    for column, index, promised in zip(zip(*records.values(), strict=True), chosen, best, strict=True):
        record = {**column[index], 'ms': sum(other['ms'] for other in column)}
        if promised <= 0:
            record |= {'accepted': False} | {f'refined_{name}': record[f'coarse_{name}'] for name in METRIC_NAMES}
        routed.append(record)
    return routed


def format_comparison(records: Mapping[str, Sequence[Mapping]]) -> str:
    """Markdown table with one row per refiner: gains with 95 % intervals, rates, time per mask."""
    table = Table(box=box.MARKDOWN)
    table.add_column('refiner')
    for title in ('masks', 'IoU gain [95 %]', 'boundary IoU gain [95 %]', 'harm %', 'win %', 'kept %', 'ms/mask'):
        table.add_column(title, justify='right')
    for name, own in records.items():
        scores = summarize_records(own)
        form = '{:+.1f} [one image]' if _is_one_image(own) else '{:+.1f} [{:+.1f}, {:+.1f}]'
        gains = [
            form.format(*(100 * scores[f'{key}/{metric}'] for key in ('gain', 'gain_low', 'gain_high')))
            for metric in METRIC_NAMES
        ]
        rates = [f'{100 * scores[key]:.1f}' for key in ('harm_rate', 'win_rate', 'kept_rate')]
        table.add_row(name, str(len(own)), *gains, *rates, f'{scores["ms"]:.0f}')
    console = Console(width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return '\n'.join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def _is_one_image(records: Sequence[Mapping]) -> bool:
    return len({record['img_path'] for record in records}) == 1


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
