"""Coarse and refined masks side by side: how much was gained on average, and how often harm was done."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

HARM_TOLERANCE = 0.01
_TITLES = {'iou': 'IoU', 'boundary_iou': 'boundary IoU', 'mba': 'mBA', 'pooled_iou': 'pooled IoU'}


def summarize_refinement(
    coarse: Mapping[str, Sequence[float]],
    refined: Mapping[str, Sequence[float]],
    harm_tolerance: float = HARM_TOLERANCE,
) -> dict[str, float]:
    """Means, gains and harm rates of N masks.

    A mask whose value is NaN on one side or both (mBA without a boundary) is left out of that measure, so a gain is
    always the difference of the two means.

    Args:
        coarse, refined: for each measure N values, as :func:`mmrefine.evaluation.measure_masks` returns them.
        harm_tolerance: a mask was harmed if its value fell by more than this.

    Returns:
        Flat keys: ``coarse/<measure>``, ``refined/<measure>`` and ``gain/<measure>``, means over masks;
        ``harm_rate``, the share of masks whose IoU fell, and ``harm_rate/<measure>`` for every other measure;
        where ``union_px`` is given also ``*/pooled_iou``, all intersections over all unions; ``num_masks``.
        Without a defined value all but ``num_masks`` are NaN.

    Raises:
        ValueError: the two sides do not hold the same measures of the same number of masks.
    """
    columns = _check_columns(coarse, refined)
    summary: dict[str, float] = {}
    for name in columns:
        if name != 'union_px':
            summary.update(_summarize_measure(name, *columns[name], harm_tolerance))
    if 'iou' in columns and 'union_px' in columns:
        pooled = [_pooled(iou, union_px) for iou, union_px in zip(columns['iou'], columns['union_px'], strict=True)]
        summary.update(_side_by_side('pooled_iou', *pooled))
    summary['num_masks'] = len(next(iter(columns.values()))[0])
    return summary


def summarize_by_group(
    coarse: Mapping[str, Sequence[float]],
    refined: Mapping[str, Sequence[float]],
    groups: Sequence[object],
    harm_tolerance: float = HARM_TOLERANCE,
) -> dict[str, dict[str, float]]:
    """One summary for each group of masks, in the order of the groups' names.

    Args:
        coarse, refined, harm_tolerance: as for :func:`summarize_refinement`.
        groups: for each of the N masks the group it belongs to, such as the data set's or the category's name.
    """
    columns = _check_columns(coarse, refined)
    names = np.array([str(group) for group in groups])
    num_masks = len(next(iter(columns.values()))[0])
    if len(names) != num_masks:
        raise ValueError(f'groups must name the group of each of the {num_masks} masks, got {len(names)} names.')
    summaries = {}
    for group in sorted(set(names.tolist())):
        sides = [{name: pair[side][names == group] for name, pair in columns.items()} for side in (0, 1)]
        summaries[group] = summarize_refinement(*sides, harm_tolerance)
    return summaries


def format_scores_table(summaries: Mapping[str, Mapping[str, float]], title: str = 'group') -> str:
    """A table in Markdown: a line per summary, for each measure coarse, refined and gain in percent.

    Args:
        summaries: name of the line to summary, as :func:`summarize_by_group` returns them.
        title: what the names are.
    """
    first = next(iter(summaries.values()), {})
    measures = [key.removeprefix('coarse/') for key in first if key.startswith('coarse/')]
    harm_keys = [key for key in ('harm_rate', 'harm_rate/boundary_iou') if key in first]
    table = Table(box=box.MARKDOWN)
    table.add_column(title)
    table.add_column('masks', justify='right')
    for name in measures:
        table.add_column(f'{_TITLES.get(name, name)} %', justify='right')
    for key in harm_keys:
        table.add_column('harm %' if key == 'harm_rate' else 'boundary harm %', justify='right')
    for line, scores in summaries.items():
        sides = [[100 * scores[f'{side}/{name}'] for side in ('coarse', 'refined', 'gain')] for name in measures]
        cells = ['{:.1f} -> {:.1f} ({:+.1f})'.format(*values) for values in sides]
        table.add_row(line, str(scores['num_masks']), *cells, *(f'{100 * scores[key]:.1f}' for key in harm_keys))
    console = Console(file=io.StringIO(), width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    console.print(table)
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())


def print_scores_table(summaries: Mapping[str, Mapping[str, float]], title: str = 'group') -> None:
    """Print what :func:`format_scores_table` returns."""
    print(format_scores_table(summaries, title))


def _check_columns(
    coarse: Mapping[str, Sequence[float]], refined: Mapping[str, Sequence[float]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of (N,) float64 arrays, coarse and refined, by measure."""
    if not coarse or set(coarse) != set(refined):
        raise ValueError(f'coarse and refined must hold the same measures, got {list(coarse)} and {list(refined)}.')
    columns = {name: (np.asarray(coarse[name], np.float64), np.asarray(refined[name], np.float64)) for name in coarse}
    shapes = {values.shape for pair in columns.values() for values in pair}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f'every measure must hold one value for each of N masks, got shapes {sorted(shapes)}.')
    return columns


def _summarize_measure(name: str, coarse: np.ndarray, refined: np.ndarray, harm_tolerance: float) -> dict[str, float]:
    defined = ~np.isnan(coarse) & ~np.isnan(refined)
    coarse, refined = coarse[defined], refined[defined]
    # A fall of exactly the tolerance is no harm, whatever the last bits of the two values say.
    harmed = coarse - refined > harm_tolerance + 1e-9
    scores = _side_by_side(name, _mean(coarse), _mean(refined))
    scores['harm_rate' if name == 'iou' else f'harm_rate/{name}'] = _mean(harmed)
    return scores


def _side_by_side(name: str, coarse: float, refined: float) -> dict[str, float]:
    return {f'coarse/{name}': coarse, f'refined/{name}': refined, f'gain/{name}': refined - coarse}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float('nan')


def _pooled(iou: np.ndarray, union_px: np.ndarray) -> float:
    return float(np.average(iou, weights=union_px)) if union_px.any() else float('nan')
