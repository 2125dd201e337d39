"""The report: tables in Markdown of what was gained over the frozen base, and how far that may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmrefine.evaluation import paired_bootstrap

from .pool import SYNTHETIC
from .scores import BASE, MEASURES, PROMPTS, Scores

_TITLES = {'iou': 'mIoU', 'boundary_iou': 'mBIoU'}
# What a module adds: all three, and the two others.
_MODULES = {'LA': ('LA+PR+MR', 'PR+MR'), 'PR': ('LA+PR+MR', 'LA+MR'), 'MR': ('LA+PR+MR', 'LA+PR')}


def write_report(runs: Sequence[Scores], sources: np.ndarray, notes: Sequence[str]) -> str:
    """The report's text.

    Args:
        runs: scores of the same images, one for each seed of the variants.
        sources: (N,) data set of each image.
        notes: sentences on how the numbers came about.
    """
    lines = ['# Reduced experiment of SAM2Refiner', '', *(f'- {note}' for note in notes)]
    for measure in MEASURES:
        lines += ['', f'## {_TITLES[measure]} by prompt', '', *_table_by_prompt(runs, measure)]
    variants = {name: (name, BASE) for name in runs[0] if name != BASE}
    for title, pairs in (('Gain over the base', variants), ('What each module adds to the two others', _MODULES)):
        lines += ['', f'## {title}, mean of the prompts, with its 95 % interval', '']
        lines += _table_of_gains(runs, sources, pairs)
    return '\n'.join(lines) + '\n'


def mean_scores(runs: Sequence[Scores], name: str, measure: str) -> np.ndarray:
    """(prompts, N) means over the seeds."""
    return np.mean([[run[name][str(prompt)][measure] for prompt in PROMPTS] for run in runs], axis=0)


def _table_by_prompt(runs: Sequence[Scores], measure: str) -> list[str]:
    titles = [prompt if prompt == 'box' else f'{prompt} point{"s"[: prompt > 1]}' for prompt in PROMPTS]
    rows = []
    for name in runs[0]:
        by_prompt = 100 * mean_scores(runs, name, measure).mean(axis=1)
        rows.append([name, *(f'{value:.1f}' for value in (*by_prompt, by_prompt.mean()))])
    return _markdown(['', *titles, 'mean'], rows)


def _table_of_gains(runs: Sequence[Scores], sources: np.ndarray, pairs: Mapping[str, tuple[str, str]]) -> list[str]:
    """Gains of one system over another on all images, synthetic scenes and photographs; an image counts once."""
    groups = {
        'all': np.ones(len(sources), bool),
        'synthetic': sources == SYNTHETIC,
        'photographs': sources != SYNTHETIC,
    }
    groups = {group: chosen for group, chosen in groups.items() if chosen.any()}
    rows = []
    for name, (better, worse) in pairs.items():
        gains = {m: (mean_scores(runs, better, m) - mean_scores(runs, worse, m)).mean(axis=0) for m in MEASURES}
        rows.append([name, *(_interval(gains[m][chosen]) for chosen in groups.values() for m in MEASURES)])
    return _markdown(
        ['', *(f'{group}, {_TITLES[m]} ({chosen.sum()})' for group, chosen in groups.items() for m in MEASURES)], rows
    )


def _interval(gains: np.ndarray) -> str:
    low, high = (100 * end for end in paired_bootstrap(gains))
    return f'{100 * gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]'


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f'| {" | ".join(titles)} |', f'|{"---|" * len(titles)}']
    return lines + [f'| {" | ".join(row)} |' for row in rows]
