"""Print tables of the gain of each variant over the frozen base, and of each module: python report.py SCORES.

Reads SCORES/VARIANT_SEED.csv, the per-mask files of RefineMetric. Images count once: gains are means over prompts and
seeds, their 95 % intervals a paired bootstrap over images.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmrefine.evaluation import paired_bootstrap
from mmrefine.evaluation.summary import HARM_TOLERANCE

METRICS = ('iou', 'boundary_iou')
FULL = 'LA+PR+MR'
# The module that each variant adds to another one.
ADDED = {
    'LA': (FULL, 'PR+MR'), 'PR': (FULL, 'LA+MR'), 'MR': (FULL, 'LA+PR'),
    'tile_scale 0.5': ('tile_scale=0.5', FULL), 'tile_scale 0': ('tile_scale=0', FULL),
}  # fmt: skip

# scores[variant][image]: one record per prompt and seed
Scores = dict[str, dict[str, list[dict]]]


def read_scores(folder: Path) -> Scores:
    scores: Scores = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob('*.csv')):
        with path.open(encoding='utf-8', newline='') as file:
            for record in csv.DictReader(file):
                scores[path.stem.rpartition('_')[0]][record['img_path']].append(record)
    return scores


def by_image(records: dict[str, list[dict]], value: Callable[[dict], float], source: str = '') -> np.ndarray:
    """Mean of a value over prompts and seeds for each image, of one source or of all."""
    rows = [rows for _, rows in sorted(records.items()) if source in ('', rows[0]['source'])]
    return np.array([np.mean([value(row) for row in group]) for group in rows])


def interval(gains: np.ndarray) -> str:
    low, high = (100 * end for end in paired_bootstrap(gains))
    return f'{100 * gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]'


def mean(side: str, metric: str) -> Callable[[dict], float]:
    return lambda row: float(row[f'{side}_{metric}'])


def gain(metric: str) -> Callable[[dict], float]:
    return lambda row: mean('refined', metric)(row) - mean('coarse', metric)(row)


def harm(row: dict) -> float:
    return float(gain('iou')(row) < -HARM_TOLERANCE)


def table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [f'| {" | ".join(titles)} |', f'|{"---|" * len(titles)}']
    return '\n'.join(lines + [f'| {" | ".join(row)} |' for row in rows])


def gains_over_the_base(scores: Scores) -> str:
    variants = {name: records for name, records in scores.items() if not name.startswith('tile_scale')}
    first = next(iter(variants.values()))
    rows = [['base', *(f'{100 * by_image(first, mean("coarse", m)).mean():.1f}' for m in METRICS), *[''] * 6]]
    for name, records in variants.items():
        means = [f'{100 * by_image(records, mean("refined", m)).mean():.1f}' for m in METRICS]
        gains = [interval(by_image(records, gain(m), source)) for source in ('', 'photos') for m in METRICS]
        harms = [f'{100 * by_image(records, harm, source).mean():.1f}' for source in ('', 'photos')]
        rows.append([name, *means, *gains, *harms])
    titles = ['mIoU %', 'mBIoU %', 'gain mIoU', 'gain mBIoU', 'images, mIoU', 'images, mBIoU', 'harm %', 'images']
    return table(['', *titles], rows)


def additions(scores: Scores) -> str:
    rows = []
    for name, (better, worse) in ADDED.items():
        pairs = [[by_image(scores[variant], mean('refined', m)) for variant in (better, worse)] for m in METRICS]
        rows.append([name, *(interval(a - b) for a, b in pairs)])
    return table(['', 'mIoU', 'mBIoU'], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scores', type=Path)
    scores = read_scores(parser.parse_args().scores)
    print(gains_over_the_base(scores), additions(scores), sep='\n\n')


if __name__ == '__main__':
    main()
