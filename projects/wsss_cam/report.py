"""Print what the labels and the segmentors trained on them are worth: report.py OUT."""

from __future__ import annotations

import json
import sys
from pathlib import Path

# How the labels are called, in label_quality.json, and the folder of the training.
ROWS = (
    ('activation maps', 'coarse', 'train_cams'),
    ('refined', 'refined', 'train_refined'),
    ('refined, ignore band', 'pseudo labels', 'train_band'),
    ('ground truth', None, 'train_true'),
)


def held_out_miou(work_dir: Path) -> float:
    """The last mIoU in percent that a training logged."""
    for log in sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True):
        records = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
        values = [record['mIoU'] for record in records if 'mIoU' in record]
        if values:
            return values[-1]
    return float('nan')


def main() -> None:
    out = Path(sys.argv[1])
    quality = json.loads((out / 'refined/label_quality.json').read_text(encoding='utf-8'))
    print('| trained on | mIoU of the labels % | labelled % | held-out mIoU of the segmentor % |\n|---|---|---|---|')
    for title, side, folder in ROWS:
        scores = quality[side] if side else {'mean_iou': 1.0, 'labelled_share': 1.0}
        values = (100 * scores['mean_iou'], 100 * scores['labelled_share'], held_out_miou(out / folder))
        print(f'| {title} | ' + ' | '.join(f'{value:.1f}' for value in values) + ' |')


if __name__ == '__main__':
    main()
