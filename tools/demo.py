"""Refine the demo's coarse masks on real images with the bundled model, and show the improvement."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / 'demo'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Refine demo/coarse_masks.json on the images inside scikit-image and print a table. The '
        'refined masks, and a picture of each image before and after, go to the output folder.'
    )
    parser.add_argument('--out', metavar='DIR', default='work_dirs/demo', help='default: %(default)s')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from mmrefine.jobs import format_report, refine_dataset
    from mmrefine.utils import require

    try:
        skimage = require('skimage', 'pip install scikit-image', 'the demo, for its images,')
        report = refine_dataset(
            DEMO / 'coarse_masks.json',
            DEMO / 'coarse_masks.json',
            args.out,
            device=args.device,
            image_root=Path(skimage.__file__).parent / 'data',
            gt=DEMO / 'ground_truth.json',
            pictures=None,
            overwrite=True,
        )
    except (ValueError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(format_report(report))
    for failure in report.failed:
        print(f'skipped {failure["image"]}: {failure["error"]}', file=sys.stderr)
    print(f'refined masks: {args.out}/coarse_masks.json, pictures: {args.out}/pictures/')
    return 1 if report.failed else 0


if __name__ == '__main__':
    sys.exit(main())
