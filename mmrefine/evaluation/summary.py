"""Summaries of refinement: mean metrics of coarse and refined masks, gains, win and harm rates."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.evaluation.bootstrap import paired_bootstrap
from mmrefine.evaluation.functional import POOLING_WEIGHTS

HARM_TOLERANCE = 0.01
_TITLES = {
    'iou': 'IoU',
    'boundary_iou': 'boundary IoU',
    'mba': 'mBA',
    'pooled_iou': 'pooled IoU',
    'pooled_boundary_iou': 'pooled boundary IoU',
}
_RATES = {
    'harm_rate': 'harm %',
    'win_rate': 'win %',
    'harm_rate/boundary_iou': 'boundary harm %',
    'kept_rate': 'kept %',
}


def summarize_refinement(
    coarse: Mapping[str, Sequence[float]],
    refined: Mapping[str, Sequence[float]],
    harm_tolerance: float = HARM_TOLERANCE,
    accepted: Sequence[bool] | None = None,
) -> dict[str, float]:
    """Means, gains, harm and win rates of N masks.

    Masks for which a metric is NaN before or after refinement (mBA without a boundary) are excluded from that metric,
    so that a gain is always the difference of the two means.

    Args:
        coarse, refined: N values for each metric, as returned by :func:`mmrefine.evaluation.evaluate_masks`.
        harm_tolerance: a mask is harmed if its value falls by more than this, and wins if it rises by more.
        accepted: the gate's decision for each mask, if known.

    Returns:
        ``coarse/<metric>``, ``refined/<metric>`` and ``gain/<metric>``, means over masks; ``harm_rate`` and
        ``win_rate``, the fractions of masks whose IoU falls or rises, and ``harm_rate/<metric>`` and
        ``win_rate/<metric>`` for other metrics; with ``union_px`` or ``boundary_union_px`` also ``*/pooled_iou`` or
        ``*/pooled_boundary_iou``, the sum of intersections over the sum of unions; with ``accepted`` also
        ``kept_rate``, the fraction of coarse masks that the gate kept; ``num_masks``. Undefined values are NaN.

    Raises:
        ValueError: coarse and refined differ in metrics or in the number of masks.

    Example:
        >>> coarse, refined = {'iou': [0.50, 0.75]}, {'iou': [0.75, 0.75]}
        >>> summary = summarize_refinement(coarse, refined)
        >>> summary['gain/iou'], summary['win_rate'], summary['harm_rate']
        (0.125, 0.5, 0.0)
    """
    columns = _check_columns(coarse, refined)
    summary: dict[str, float] = {}
    for name in _metrics(columns):
        summary.update(_summarize_metric(name, *columns[name], harm_tolerance))
    for name, weight in POOLING_WEIGHTS.items():
        if {name, weight} <= columns.keys():
            pooled = [_pooled(*side) for side in zip(columns[name], columns[weight], strict=True)]
            summary.update(_side_by_side(f'pooled_{name}', *pooled))
    summary['num_masks'] = _num_masks(columns)
    if accepted is not None:
        _check_length('accepted', accepted, summary['num_masks'])
        summary['kept_rate'] = _mean(~np.asarray(accepted, bool))
    return summary


def gain_intervals(
    coarse: Mapping[str, Sequence[float]],
    refined: Mapping[str, Sequence[float]],
    images: Sequence[object] | None = None,
    confidence: float = 0.95,
) -> dict[str, float]:
    """Confidence intervals of mean gains, by :func:`~mmrefine.evaluation.paired_bootstrap` over images.

    Args:
        coarse, refined: see :func:`summarize_refinement`.
        images: image of each mask; None: masks are resampled independently.
        confidence: confidence level in (0, 1).

    Returns:
        ``gain_low/<metric>`` and ``gain_high/<metric>``; NaN if no value is defined.

    Example:
        >>> coarse, refined = {'iou': [0.50, 0.75]}, {'iou': [0.75, 0.75]}
        >>> gain_intervals(coarse, refined)
        {'gain_low/iou': 0.0, 'gain_high/iou': 0.25}
    """
    columns = _check_columns(coarse, refined)
    images = np.arange(_num_masks(columns)) if images is None else np.array([str(image) for image in images])
    _check_length('images', images, _num_masks(columns))
    intervals = {}
    for name in _metrics(columns):
        gains = columns[name][1] - columns[name][0]
        defined = ~np.isnan(gains)
        ends = (
            paired_bootstrap(gains[defined], confidence, images=images[defined])
            if defined.any()
            else (float('nan'), float('nan'))
        )
        intervals[f'gain_low/{name}'], intervals[f'gain_high/{name}'] = ends
    return intervals


def summarize_by_group(
    coarse: Mapping[str, Sequence[float]],
    refined: Mapping[str, Sequence[float]],
    groups: Sequence[object],
    harm_tolerance: float = HARM_TOLERANCE,
    accepted: Sequence[bool] | None = None,
    images: Sequence[object] | None = None,
) -> dict[str, dict[str, float]]:
    """Summary of each group of masks, sorted by name.

    Args:
        coarse, refined, harm_tolerance, accepted: see :func:`summarize_refinement`.
        groups: group of each of the N masks, such as the name of the dataset or category; or a tuple of names from the
            widest to the narrowest group, such as ``('real', 'davis')``: then there is a summary ``real/davis``, and
            ``real/all`` for the wider group after its members.
        images: image of each mask; if given, summaries also have the keys of :func:`gain_intervals`.

    Example:
        >>> coarse, refined = {'iou': [0.50, 0.75]}, {'iou': [0.75, 0.75]}
        >>> summaries = summarize_by_group(coarse, refined, ['cat', 'dog'])
        >>> {name: summary['gain/iou'] for name, summary in summaries.items()}
        {'cat': 0.25, 'dog': 0.0}
    """
    columns = _check_columns(coarse, refined)
    _check_length('groups', groups, _num_masks(columns))
    paths = [tuple(map(str, group)) if isinstance(group, (tuple, list)) else (str(group),) for group in groups]
    members: dict[tuple[str, ...], list[int]] = {}
    for index, path in enumerate(paths):
        for depth in range(1, len(path) + 1):
            members.setdefault(path[:depth], []).append(index)
    deepest = max(map(len, paths), default=0)
    summaries = {}
    # A wider group comes after its members.
    for path in sorted(members, key=lambda path: (*((0, name) for name in path), (1, ''))):
        name = '/'.join(path if len(path) == deepest else (*path, 'all'))
        summaries[name] = _summarize_part(columns, np.array(members[path]), harm_tolerance, accepted, images)
    return summaries


def format_scores_table(summaries: Mapping[str, Mapping[str, float]], title: str = 'group') -> str:
    """Markdown table with a row for each summary: coarse, refined and gain of each metric in percent.

    If the summaries contain intervals, gains are followed by their 95 % interval in brackets.

    Args:
        summaries: summaries by name, as returned by :func:`summarize_by_group`.
        title: header of the column of names.

    Example:
        >>> coarse, refined = {'iou': [0.50, 0.75]}, {'iou': [0.75, 0.75]}
        >>> summaries = summarize_by_group(coarse, refined, ['cat', 'dog'])
        >>> format_scores_table(summaries).splitlines()[-1]
        '| dog   |     1 |  75.0 -> 75.0 (+0.0) |    0.0 |   0.0 |'
    """
    first = next(iter(summaries.values()), {})
    metrics = [key.removeprefix('coarse/') for key in first if key.startswith('coarse/')]
    rates = [key for key in _RATES if key in first]
    table = Table(box=box.MARKDOWN)
    table.add_column(title)
    table.add_column('masks', justify='right')
    for name in metrics:
        interval = ' [95 % interval]' if f'gain_low/{name}' in first else ''
        table.add_column(f'{_TITLES.get(name, name)} %{interval}', justify='right')
    for key in rates:
        table.add_column(_RATES[key], justify='right')
    for line, scores in summaries.items():
        cells = [_format_gain(scores, name) for name in metrics]
        table.add_row(line, str(scores['num_masks']), *cells, *(f'{100 * scores[key]:.1f}' for key in rates))
    console = Console(file=io.StringIO(), width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    console.print(table)
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())


def _format_gain(scores: Mapping[str, float], metric: str) -> str:
    """``coarse -> refined (gain [low, high])`` of one metric, in percent."""
    coarse, refined, gain = (100 * scores[f'{side}/{metric}'] for side in ('coarse', 'refined', 'gain'))
    interval = ''
    if f'gain_low/{metric}' in scores:
        low, high = (100 * scores[f'gain_{end}/{metric}'] for end in ('low', 'high'))
        interval = f' [{low:+.1f}, {high:+.1f}]'
    return f'{coarse:.1f} -> {refined:.1f} ({gain:+.1f}{interval})'


def _summarize_part(
    columns: Mapping[str, tuple[np.ndarray, np.ndarray]],
    part: np.ndarray,
    harm_tolerance: float,
    accepted: Sequence[bool] | None,
    images: Sequence[object] | None,
) -> dict[str, float]:
    """Summary of the masks with the indices ``part``."""
    coarse, refined = ({name: pair[side][part] for name, pair in columns.items()} for side in (0, 1))
    part_accepted = None if accepted is None else np.asarray(accepted, bool)[part]
    summary = summarize_refinement(coarse, refined, harm_tolerance, part_accepted)
    if images is not None:
        summary.update(gain_intervals(coarse, refined, [images[index] for index in part]))
    return summary


def _metrics(columns: Mapping[str, object]) -> list[str]:
    """Names of the columns that are metrics, without weights."""
    return [name for name in columns if name not in POOLING_WEIGHTS.values()]


def _num_masks(columns: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> int:
    return len(next(iter(columns.values()))[0])


def _check_length(name: str, values: Sequence[object], num_masks: int) -> None:
    if len(values) != num_masks:
        raise ValueError(f'{name} must contain one value for each of the {num_masks} masks, got {len(values)}.')


def _check_columns(
    coarse: Mapping[str, Sequence[float]], refined: Mapping[str, Sequence[float]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of (N,) float64 arrays, coarse and refined, by metric."""
    if not coarse or set(coarse) != set(refined):
        raise ValueError(f'coarse and refined must contain the same metrics, got {list(coarse)} and {list(refined)}.')
    columns = {name: (np.asarray(coarse[name], np.float64), np.asarray(refined[name], np.float64)) for name in coarse}
    shapes = {values.shape for pair in columns.values() for values in pair}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f'every metric must contain one value for each of N masks, got shapes {sorted(shapes)}.')
    return columns


def _summarize_metric(name: str, coarse: np.ndarray, refined: np.ndarray, harm_tolerance: float) -> dict[str, float]:
    defined = ~np.isnan(coarse) & ~np.isnan(refined)
    coarse, refined = coarse[defined], refined[defined]
    # A change of exactly the tolerance is neither harm nor win, whatever the rounding.
    tolerance = harm_tolerance + 1e-9
    suffix = '' if name == 'iou' else f'/{name}'
    scores = _side_by_side(name, _mean(coarse), _mean(refined))
    scores[f'harm_rate{suffix}'] = _mean(coarse - refined > tolerance)
    scores[f'win_rate{suffix}'] = _mean(refined - coarse > tolerance)
    return scores


def _side_by_side(name: str, coarse: float, refined: float) -> dict[str, float]:
    return {f'coarse/{name}': coarse, f'refined/{name}': refined, f'gain/{name}': refined - coarse}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float('nan')


def _pooled(iou: np.ndarray, union_px: np.ndarray) -> float:
    return float(np.average(iou, weights=union_px)) if union_px.any() else float('nan')
