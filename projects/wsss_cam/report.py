"""Print what the labels and the segmentors trained on them are worth: report.py OUT...; of several seeds, the mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from mmrefine.evaluation import last_metric, paired_interval

# How the labels are called, in label_quality.json, and the folder of the training.
ROWS = (
    ('activation maps', 'coarse', 'train_cams'),
    ('refined', 'refined', 'train_refined'),
    ('refined, ignore band', 'pseudo labels', 'train_band'),
    ('ground truth', None, 'train_true'),
)


def read_run(out: Path) -> dict[str, np.ndarray]:
    """Of each row: mIoU of the labels, share of labelled pixels, held-out mIoU of the segmentor, in percent."""
    quality = json.loads((out / 'refined/label_quality.json').read_text(encoding='utf-8'))
    rows = {}
    for title, side, folder in ROWS:
        if (out / folder).is_dir():
            scores = quality[side] if side else {'mean_iou': 1.0, 'labelled_share': 1.0}
            labels = 100 * scores['mean_iou'], 100 * scores['labelled_share']
            rows[title] = np.array([*labels, last_metric(out / folder, 'mIoU')])
    return rows


def main() -> None:
    runs = [read_run(Path(out)) for out in sys.argv[1:]]
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
