"""Report of a job on images: one entry per mask, totals, a table."""

from __future__ import annotations

import io
import json
import math
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mmengine
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.core.gate import describe_reason, summarize_kept
from mmrefine.evaluation import evaluate_masks, summarize_refinement
from mmrefine.files.json_stream import walk_json
from mmrefine.files.names import printable
from mmrefine.jobs.formats.base import MaskPair
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.work import SUMMARY
from mmrefine.utils import counted
from mmrefine.version import __version__

METRIC_NAMES = ('iou', 'boundary_iou')
_ENTRIES_IN_REPORT = 1000
_UNUSABLE = 'could not be used'
_MAX_NAME = 60  # characters in the table


@dataclass(frozen=True)
class JobReport:
    """Report of a job on images.

    Attributes:
        total: counts of images and masks and, with ground truth, the metrics of
            :func:`~mmrefine.evaluation.summarize_refinement`.
        failed: ``{'image': ..., 'error': ...}`` for each image that was skipped.
        masks: the entries of :func:`mask_entry`; for a long job only the first.
        problems: ``{'image': ..., 'mask': ..., 'error': ...}`` for each mask that could not be used or evaluated.
    """

    total: dict
    failed: list[dict]
    masks: list[dict]
    problems: list[dict] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether no image was skipped and every mask could be used."""
        return not self.failed and not self.problems


def mask_entry(image: str, pair: MaskPair, measures: dict) -> dict:
    """Entry of a mask in the report, as JSON values.

    Args:
        image: name of the image.
        pair: the mask before and after refinement.
        measures: metrics, see :func:`measure`.
    """
    return {
        'image': image,
        'mask': pair.name,
        'category': pair.category,
        'area_px': int(np.count_nonzero(pair.coarse)),
        'refined_area_px': int(np.count_nonzero(pair.refined)),
        'changed_px': int(np.count_nonzero(pair.coarse != pair.refined)),
        'score': round(float(pair.score), 4),
        'accepted': bool(pair.accepted),
        'reason': pair.reason,
        **({'failed': True} if pair.failed else {}),
        **measures,
    }


def measure(pair: MaskPair, gt: np.ndarray | None, valid: np.ndarray | None) -> dict[str, dict[str, float]]:
    """Metrics of a mask before and after refinement, ``{'coarse': ..., 'refined': ...}``; {} without ground truth.

    Args:
        pair: the mask before and after refinement.
        gt: (H, W) bool; None if there is none.
        valid: (H, W) bool, the pixels that are evaluated; None: all.
    """
    if gt is None:
        return {}
    measured = {}
    for side, mask in (('coarse', pair.coarse), ('refined', pair.refined)):
        masks = (mask, gt) if valid is None else (mask & valid, gt & valid)
        columns = evaluate_masks(masks[0][None], masks[1][None], METRIC_NAMES)
        measured[side] = {name: float(column[0]) for name, column in columns.items()}
    return measured


class Totals:
    """Totals over the entries of a job, added image by image."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(('images', 'masks', 'accepted', 'kept', 'changed_px'), 0)
        self._kept_for: Counter[str] = Counter()
        self._left_alone: Counter[str] = Counter()
        self._scores = 0.0
        self._columns: dict[str, dict[str, list[float]]] = {side: defaultdict(list) for side in ('coarse', 'refined')}

    def add_image(self, entries: Iterable[dict], left_alone: Mapping[str, int]) -> None:
        """Add the masks of an image, and counts of shapes that are not refined."""
        self._counts['images'] += 1
        self._left_alone.update(left_alone)
        for entry in entries:
            self._counts['masks'] += 1
            self._counts['accepted' if entry['accepted'] else 'kept'] += 1
            self._counts['changed_px'] += entry['changed_px']
            self._scores += entry['score']
            if not entry['accepted']:
                self._kept_for[_UNUSABLE if entry.get('failed') else describe_reason(entry['reason'])] += 1
            for side, columns in self._columns.items():
                for name, value in entry.get(side, {}).items():
                    columns[name].append(value)

    def summary(self, failed_images: int, problems: int) -> dict:
        """All totals as JSON values."""
        counts = dict(self._counts)
        total = {'images': counts.pop('images'), 'failed_images': failed_images, 'problems': problems, **counts}
        total['mean_score'] = round(self._scores / counts['masks'], 4) if counts['masks'] else None
        total['kept_for'], total['left_alone'] = dict(self._kept_for), dict(self._left_alone)
        if self._columns['coarse']:
            measures = summarize_refinement(self._columns['coarse'], self._columns['refined'])
            total['measures'] = {key: None if math.isnan(value) else value for key, value in measures.items()}
        return total


def write_summary(out: OutputFolder, head: dict, entries: Iterable[dict]) -> list[dict]:
    """Write the summary, one line per mask, and return the first entries."""
    first = []
    with out.open(SUMMARY) as file:
        file.write(json.dumps({**head, 'versions': versions()}, indent=1)[:-2] + ',\n "masks": [')
        for number, entry in enumerate(entries):
            file.write((',\n  ' if number else '\n  ') + json.dumps(entry))
            if number < _ENTRIES_IN_REPORT:
                first.append(entry)
        file.write('\n ]\n}\n')
    return first


def read_report(summary: Path) -> JobReport:
    """Read the report of a concluded job."""
    content: dict[str, list] = {'masks': [], 'failed': [], 'problems': []}
    total: dict = {}
    for item in walk_json(summary):  # masks come last, and there may be a million
        if len(content['masks']) == _ENTRIES_IN_REPORT:
            break
        if item.key in content and item.index is not None:
            content[item.key].append(item.value)
        elif item.key == 'total':
            total = item.value
    return JobReport(total, content['failed'], content['masks'], content['problems'])


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    return {
        'mmrefine': __version__,
        'torch': torch.__version__,
        'mmengine': mmengine.__version__,
        'numpy': np.__version__,
        'python': platform.python_version(),
    }


def format_report(report: JobReport, max_rows: int = 50) -> str:
    """Format a report: a table of at most ``max_rows`` masks, totals, and why coarse masks were kept.

    Example:
        >>> entry = {'image': 'dog.jpg', 'mask': '1', 'category': 'dog', 'area_px': 200, 'changed_px': 10, 'score': 0.9}
        >>> entry |= {'accepted': True, 'reason': ''}
        >>> totals = Totals()
        >>> totals.add_image([entry], left_alone={})
        >>> report = JobReport(totals.summary(failed_images=0, problems=0), failed=[], masks=[entry])
        >>> format_report(report).splitlines()[2].split()
        ['dog.jpg', '1', 'dog', '200', '5.0', '0.90', 'accepted']
    """
    measured = 'measures' in report.total
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ('image', 'mask'):  # one long name must not tear the table apart
        table.add_column(title, max_width=_MAX_NAME, no_wrap=True, overflow='ellipsis')
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
    console.print(printable(summarize_kept(report.total['kept_for'], report.total['masks'])))
    left_alone = report.total.get('left_alone', {})  # missing in reports of earlier versions
    if left_alone:
        parts = ', '.join(f'{what} {count}' for what, count in sorted(left_alone.items(), key=lambda item: -item[1]))
        count = sum(left_alone.values())
        as_before = 'was left unchanged' if count == 1 else 'were left unchanged'
        console.print(printable(f'{counted(count, "shape")} {as_before}: {parts}.'))
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())


def _cells(entry: dict, measured: bool) -> list[str]:
    change = 100 * entry['changed_px'] / entry['area_px'] if entry['area_px'] else 0.0
    cells = [
        printable(str(entry['image'])),
        printable(f'{entry["mask"]} {entry["category"]}'.strip()),
        str(entry['area_px']),
        f'{change:.1f}',
        f'{entry["score"]:.2f}',
        ('accepted' if entry['accepted'] else 'kept') + (f': {printable(entry["reason"])}' if entry['reason'] else ''),
    ]
    if measured:
        sides = [entry.get(side) for side in ('coarse', 'refined')]
        cells += ['' if None in sides else _arrow(*(100 * side[name] for side in sides)) for name in METRIC_NAMES]
    return cells


def _total_cells(total: dict, measured: bool) -> list[str]:
    score = '' if total['mean_score'] is None else f'{total["mean_score"]:.2f}'
    verdicts = f'{total["accepted"]} accepted, {total["kept"]} kept'
    cells = [f'total: {counted(total["images"], "image")}', counted(total['masks'], 'mask'), '', '', score, verdicts]
    if measured:
        values = total['measures']
        cells += [_arrow(*(100 * values[f'{side}/{name}'] for side in ('coarse', 'refined'))) for name in METRIC_NAMES]
        cells[5] += f', {100 * values["harm_rate"]:.0f} % harmed'
    return cells


def _arrow(before: float, after: float) -> str:
    return f'{before:.1f} -> {after:.1f} ({after - before:+.1f})'
