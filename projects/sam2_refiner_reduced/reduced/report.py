"""The report: tables in Markdown of what was gained over the frozen base, and how far that may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmrefine.evaluation import paired_bootstrap
from mmrefine.evaluation.summary import HARM_TOLERANCE

from .pool import SYNTHETIC
from .scores import BASE, METRIC_NAMES, PROMPTS, Scores

_TITLES = {'iou': 'mIoU', 'boundary_iou': 'mBIoU'}
# What a module adds: all three, and the two others.
FULL = 'LA+PR+MR'
_MODULES = {'LA': (FULL, 'PR+MR'), 'PR': (FULL, 'LA+MR'), 'MR': (FULL, 'LA+PR')}


def write_report(runs: Sequence[Scores], sources: np.ndarray, notes: Sequence[str]) -> str:
    """The report's text.

    Args:
        runs: scores of the same images, one for each seed of the variants.
        sources: (N,) dataset of each image.
        notes: sentences on how the numbers came about.
    """
    lines = ['# Reduced experiment of SAM2Refiner', '', *(f'- {note}' for note in notes)]
    lines += ['', '## The base, mean of the prompts', '', *_table_of_base(runs, sources)]
    for metric in METRIC_NAMES:
        lines += ['', f'## {_TITLES[metric]} by prompt', '', *_table_by_prompt(runs, metric)]
    variants = {name: (name, BASE) for name in runs[0] if name != BASE}
    quicker = {name: (name, FULL) for name in runs[0] if name.startswith(f'{FULL},')}
    for title, pairs in (
        ('Gain over the base', variants),
        ('What each module adds to the two others', _MODULES),
        ('What smaller quadrants change, and none', quicker),
    ):
        if pairs:
            lines += ['', f'## {title}, mean of the prompts, with its 95 % interval', '']
            lines += _table_of_gains(runs, sources, pairs)
    lines += ['', "## Harm: share of masks worse than the base's by over a point, in %", '']
    return '\n'.join([*lines, *_table_of_harm(runs, sources, variants)]) + '\n'


def mean_scores(runs: Sequence[Scores], name: str, metric: str) -> np.ndarray:
    """(prompts, N) means over the seeds."""
    return _by_seed(runs, name, metric).mean(axis=0)


def _by_seed(runs: Sequence[Scores], name: str, metric: str) -> np.ndarray:
    """(seeds, prompts, N)."""
    return np.array([[run[name][str(prompt)][metric] for prompt in PROMPTS] for run in runs])


def _table_by_prompt(runs: Sequence[Scores], metric: str) -> list[str]:
    titles = [prompt if prompt == 'box' else f'{prompt} point{"s"[: prompt > 1]}' for prompt in PROMPTS]
    rows = []
    for name in runs[0]:
        by_prompt = 100 * mean_scores(runs, name, metric).mean(axis=1)
        rows.append([name, *(f'{value:.1f}' for value in (*by_prompt, by_prompt.mean()))])
    return _markdown(['', *titles, 'mean'], rows)


def _table_of_base(runs: Sequence[Scores], sources: np.ndarray) -> list[str]:
    groups = _groups(sources)
    means = {m: mean_scores(runs, BASE, m).mean(axis=0) for m in METRIC_NAMES}
    row = [f'{100 * means[m][chosen].mean():.1f}' for chosen in groups.values() for m in METRIC_NAMES]
    return _markdown(_columns(groups), [[BASE, *row]])


def _table_of_gains(runs: Sequence[Scores], sources: np.ndarray, pairs: Mapping[str, tuple[str, str]]) -> list[str]:
    """Gains of one system over another on all images, synthetic scenes and photographs; an image counts once."""
    groups = _groups(sources)
    rows = []
    for name, (better, worse) in pairs.items():
        gains = {m: (mean_scores(runs, better, m) - mean_scores(runs, worse, m)).mean(axis=0) for m in METRIC_NAMES}
        rows.append([name, *(_interval(gains[m][chosen]) for chosen in groups.values() for m in METRIC_NAMES)])
    return _markdown(_columns(groups), rows)


def _table_of_harm(runs: Sequence[Scores], sources: np.ndarray, pairs: Mapping[str, tuple[str, str]]) -> list[str]:
    """Of every image with every prompt and seed."""
    groups = _groups(sources)
    rows = []
    for name, (refined, coarse) in pairs.items():
        fell = {m: _by_seed(runs, refined, m) < _by_seed(runs, coarse, m) - HARM_TOLERANCE for m in METRIC_NAMES}
        rates = (100 * fell[m][..., chosen].mean() for chosen in groups.values() for m in METRIC_NAMES)
        rows.append([name, *(f'{rate:.1f}' for rate in rates)])
    return _markdown(_columns(groups), rows)


def _groups(sources: np.ndarray) -> dict[str, np.ndarray]:
    """Which images belong to each group that has any."""
    groups = {
        'all': np.ones(len(sources), bool),
        'synthetic': sources == SYNTHETIC,
        'photographs': sources != SYNTHETIC,
    }
    return {group: chosen for group, chosen in groups.items() if chosen.any()}


def _columns(groups: Mapping[str, np.ndarray]) -> list[str]:
    return ['', *(f'{group}, {_TITLES[m]} ({chosen.sum()})' for group, chosen in groups.items() for m in METRIC_NAMES)]


def _interval(gains: np.ndarray) -> str:
    low, high = (100 * end for end in paired_bootstrap(gains))
    return f'{100 * gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]'


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f'| {" | ".join(titles)} |', f'|{"---|" * len(titles)}']
    return lines + [f'| {" | ".join(row)} |' for row in rows]
