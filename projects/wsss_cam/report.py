"""Print the table of a run: quality of the labels and of the segmentors trained on them; means over seeds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mmrefine.evaluation import last_metric, paired_interval

# Title in the table, key in label_quality.json, folder of the training.
ROWS = (
    ('activation maps', 'coarse', 'train_cams'),
    ('refined', 'refined', 'train_refined'),
    ('refined, ignore band', 'pseudo labels', 'train_band'),
    ('ground truth', None, 'train_true'),
)


def read_run(out: Path) -> dict[str, np.ndarray]:
    """For each row the mIoU of the labels, the fraction of labelled pixels and the held-out mIoU, in percent."""
    quality = json.loads((out / 'refined/label_quality.json').read_text(encoding='utf-8'))
    rows = {}
    for title, side, folder in ROWS:
        if (out / folder).is_dir():
            scores = quality[side] if side else {'mean_iou': 1.0, 'labelled_share': 1.0}
            labels = 100 * scores['mean_iou'], 100 * scores['labelled_share']
            rows[title] = np.array([*labels, last_metric(out / folder, 'mIoU')])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', metavar='OUT', nargs='+', type=Path, help='output folders of run.sh, one per seed')
    runs = [read_run(out) for out in parser.parse_args().out]
    print('| trained on | mIoU of the labels % | labelled % | held-out mIoU of the segmentor % |\n|---|---|---|---|')
    for title in runs[0]:
        values = np.mean([run[title] for run in runs if title in run], axis=0)
        print(f'| {title} | ' + ' | '.join(f'{value:.1f}' for value in values) + ' |')
    if len(runs) > 1:
        gains = np.array([run['refined'] - run['activation maps'] for run in runs])
        for name, column in (('labels', 0), ('segmentors', 2)):
            low, high = paired_interval(gains[:, column])
            mean = gains[:, column].mean()
            print(f'refinement, {name}: {mean:+.1f} points, {low:+.1f} to {high:+.1f} (95 %, {len(runs)} seeds)')


if __name__ == '__main__':
    main()
