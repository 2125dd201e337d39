"""What a job tells: one entry per mask, totals, a table."""

from __future__ import annotations

import io
import json
import math
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mmengine
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.core.gate import explain_kept, reason_in_words
from mmrefine.evaluation import summarize_refinement
from mmrefine.files.atomic import whole_file
from mmrefine.jobs.truth import MEASURES
from mmrefine.jobs.writers import Written
from mmrefine.version import __version__


@dataclass(frozen=True)
class JobReport:
    """What a job did.

    Attributes:
        total: counts of images and masks, and where there is ground truth the measures of
            :func:`~mmrefine.evaluation.summarize_refinement`.
        failed: ``{'image': ..., 'error': ...}`` for each image that was skipped.
        masks: the entries of :func:`mask_entries`, of a long job only the first.
    """

    total: dict
    failed: list[dict]
    masks: list[dict]


def mask_entries(image: str, written: Written, measures: Sequence[dict]) -> list[dict]:
    """One entry for each mask of a task, in types of JSON.

    Args:
        image: its name.
        written: the M masks.
        measures: M results of :func:`mmrefine.jobs.truth.measure`.
    """
    result = written.result
    areas_px = [np.count_nonzero(masks, axis=(1, 2)).tolist() for masks in (result.coarse_masks, result.masks)]
    columns = (
        written.names,
        written.categories,
        *areas_px,
        result.changed_px.tolist(),
        [round(float(score), 4) for score in result.scores],
        result.accepted.tolist(),
        result.reasons,
    )
    keys = ('mask', 'category', 'area_px', 'refined_area_px', 'changed_px', 'score', 'accepted', 'reason')
    rows = zip(*columns, strict=True)
    return [
        {'image': image, **dict(zip(keys, row, strict=True)), **more} for row, more in zip(rows, measures, strict=True)
    ]


@dataclass
class Totals:
    """Sums over the entries of a job, taken one by one."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(('masks', 'accepted', 'kept', 'changed_px'), 0)
    )
    kept_for: Counter[str] = field(default_factory=Counter)
    scores: float = 0.0
    columns: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {side: defaultdict(list) for side in ('coarse', 'refined')}
    )

    def add(self, entry: dict) -> None:
        """Count an entry in."""
        self.counts['masks'] += 1
        self.counts['accepted' if entry['accepted'] else 'kept'] += 1
        self.counts['changed_px'] += entry['changed_px']
        if not entry['accepted']:
            self.kept_for[reason_in_words(entry['reason'])] += 1
        self.scores += entry['score']
        for side in self.columns:
            for name, value in entry.get(side, {}).items():
                self.columns[side][name].append(value)

    def summary(self, num_images: int, num_failed: int) -> dict:
        """All totals, in types of JSON."""
        mean_score = round(self.scores / self.counts['masks'], 4) if self.counts['masks'] else None
        total = {'images': num_images, 'failed_images': num_failed, **self.counts, 'kept_for': dict(self.kept_for)}
        total['mean_score'] = mean_score
        if self.columns['coarse']:
            measures = summarize_refinement(self.columns['coarse'], self.columns['refined'])
            total['measures'] = {key: None if math.isnan(value) else value for key, value in measures.items()}
        return total


def write_summary(path: Path, settings: dict, total: dict, failed: list[dict], entries: Iterable[dict]) -> None:
    """Write ``summary.json``, one line per mask; entries are taken as they come."""
    head = {'total': total, 'failed': failed, 'settings': settings, 'versions': versions()}
    with whole_file(path) as file:
        file.write(json.dumps(head, indent=1)[:-2] + ',\n "masks": [')
        for number, entry in enumerate(entries):
            file.write((',\n  ' if number else '\n  ') + json.dumps(entry))
        file.write('\n ]\n}\n')


def versions() -> dict[str, str]:
    """Of everything that has a say in the results."""
    return {
        'mmrefine': __version__,
        'torch': torch.__version__,
        'mmengine': mmengine.__version__,
        'numpy': np.__version__,
        'python': platform.python_version(),
    }


def format_report(report: JobReport, max_rows: int = 50) -> str:
    """A table of the masks, at most ``max_rows`` of them, a line with the totals, and why coarse masks were kept."""
    measured = 'measures' in report.total
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ('image', 'mask'):
        table.add_column(title)
    for title in ('area px', 'change %', 'score'):
        table.add_column(title, justify='right')
    table.add_column('verdict')
    if measured:
        table.add_column('IoU %', justify='right')
        table.add_column('boundary IoU %', justify='right')
    for entry in report.masks[:max_rows]:
        table.add_row(*_cells(entry, measured))
    left_out = report.total['masks'] - min(len(report.masks), max_rows)
    if left_out > 0:
        table.add_row(f'… and {left_out} more', *[''] * (len(table.columns) - 1))
    table.add_section()
    table.add_row(*_total_cells(report.total, measured))
    console = Console(file=io.StringIO(), width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    console.print(table)
    console.print(explain_kept(report.total['kept_for'], report.total['masks']))
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())


def _cells(entry: dict, measured: bool) -> list[str]:
    change = 100 * entry['changed_px'] / entry['area_px'] if entry['area_px'] else 0.0
    cells = [
        entry['image'],
        f'{entry["mask"]} {entry["category"]}'.strip(),
        str(entry['area_px']),
        f'{change:.1f}',
        f'{entry["score"]:.2f}',
        ('accepted' if entry['accepted'] else 'kept') + (f': {entry["reason"]}' if entry['reason'] else ''),
    ]
    if measured:
        sides = [entry.get(side) for side in ('coarse', 'refined')]
        cells += ['' if None in sides else _arrow(*(100 * side[name] for side in sides)) for name in MEASURES]
    return cells


def _total_cells(total: dict, measured: bool) -> list[str]:
    score = '' if total['mean_score'] is None else f'{total["mean_score"]:.2f}'
    verdicts = f'{total["accepted"]} accepted, {total["kept"]} kept'
    cells = [f'total: {total["images"]} images', f'{total["masks"]} masks', '', '', score, verdicts]
    if measured:
        values = total['measures']
        cells += [_arrow(*(100 * values[f'{side}/{name}'] for side in ('coarse', 'refined'))) for name in MEASURES]
        cells[5] += f', {100 * values["harm_rate"]:.0f} % harmed'
    return cells


def _arrow(before: float, after: float) -> str:
    return f'{before:.1f} -> {after:.1f} ({after - before:+.1f})'
