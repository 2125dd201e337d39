"""Compare trainings without and with refinement over several seeds, pair by pair.

  tools/analysis_tools/compare_seeds.py mIoU --without run_*/train_cams --with run_*/train_refined

Prints a table of the metric's last value in the work directory of each run, and the mean difference with its 95 %
interval (Student's t). Runs are paired in the order given, which must be that of the seeds.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from mmrefine.evaluation.seeds import last_metric, paired_interval


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('metric', help='name in the log, such as mIoU or coco/segm_mAP')
    parser.add_argument(
        '--without', nargs='+', required=True, metavar='DIR', help='work directories without refinement'
    )
    parser.add_argument('--with', nargs='+', required=True, metavar='DIR', dest='refined', help='those with')
    parser.add_argument('--scale', type=float, default=1.0, help='factor of all values, 100 for percent')
    args = parser.parse_args()
    if len(args.without) != len(args.refined) or len(args.without) < 2:
        parser.error(f'expected two pairs at least, got {len(args.without)} and {len(args.refined)} directories.')
    return args


def main() -> None:
    args = parse_args()
    try:
        coarse, refined = (
            args.scale * np.array([last_metric(folder, args.metric) for folder in folders])
            for folders in (args.without, args.refined)
        )
    except ValueError as error:
        sys.exit(f'compare_seeds: {error}')
    differences = refined - coarse
    low, high = paired_interval(differences)
    print(f'| {args.metric} | without | with | difference |\n|---|---|---|---|')
    for number, values in enumerate(zip(coarse, refined, differences, strict=True), start=1):
        print('| pair {} | {:.1f} | {:.1f} | {:+.1f} |'.format(number, *values))
    print(
        f'| mean | {coarse.mean():.1f} | {refined.mean():.1f} | {differences.mean():+.1f} ({low:+.1f} to {high:+.1f}) |'
    )
    verdict = 'differs from 0' if low > 0 or high < 0 else 'does not differ from 0'
    print(f'\nThe mean difference {verdict} at 95 % over {len(differences)} seeds.')


if __name__ == '__main__':
    main()
