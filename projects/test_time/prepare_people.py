"""People and background for MMSegmentation: projects/test_time/prepare_people.py IMAGES LABELS OUT.

Label maps in which every label over 0 is part of a person become binary maps OUT/labels/<name>.png (0 background,
1 person); OUT/train.txt and OUT/val.txt name the images of a seeded split. IMAGES is only read for its file names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from mmrefine.apis.files import whole_file
from mmrefine.datasets.images import list_images


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', metavar='IMAGES', type=Path, help='folder of photographs')
    parser.add_argument('labels', metavar='LABELS', type=Path, help='folder of label maps <stem of the image>.png')
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--val', type=int, default=100, help='images for validation (default: 100)')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    stems = sorted(path.stem for path in list_images(args.images))
    if len(stems) <= args.val:
        raise SystemExit(f'--val {args.val} leaves nothing to train on: {args.images} has {len(stems)} images.')
    for stem in tqdm(stems, desc='labels'):
        labels = np.array(Image.open(args.labels / f'{stem}.png'))
        with whole_file(args.out / 'labels' / f'{stem}.png', 'wb') as file:
            Image.fromarray((labels > 0).astype(np.uint8)).save(file, format='PNG')
    order = np.random.default_rng(args.seed).permutation(stems).tolist()
    for name, part in (('val', order[: args.val]), ('train', order[args.val :])):
        with whole_file(args.out / f'{name}.txt') as file:
            file.write('\n'.join(sorted(part)) + '\n')


if __name__ == '__main__':
    main()
