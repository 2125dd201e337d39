"""Class activation maps to label maps: tools/dataset_converters/activation_maps_to_labels.py MAPS OUT --alpha 8.

MAPS is a folder of .npz and .npy files, one per image, OUT a folder for PNG files of the same names, in which 0 is the
background and class k is k + 1. tools/refine.py --semantic refines them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import track_iter_progress

from mmrefine.apis.files import whole_file
from mmrefine.core.activation_maps import activation_label_map, load_activation_maps
from mmrefine.core.regions import VOID


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('maps', metavar='MAPS', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--alpha', type=float, default=8.0, help='the background scores (1 - highest score)^alpha')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    paths = sorted(path for suffix in ('npz', 'npy') for path in args.maps.rglob(f'*.{suffix}'))
    if not paths:
        print(f'no .npz and .npy files in {args.maps}', file=sys.stderr)
        return 2
    refused = 0
    for path in track_iter_progress(paths):
        try:
            labels, _ = activation_label_map(*load_activation_maps(path), args.alpha)
            if labels.max(initial=0) >= VOID:
                raise ValueError(f'{path}: class {labels.max() - 1} does not fit into a label map of 8 bits.')
        except ValueError as error:
            print(f'left out: {error}', file=sys.stderr)
            refused += 1
            continue
        with whole_file((args.out / path.relative_to(args.maps)).with_suffix('.png'), 'wb') as file:
            file.write(cv2.imencode('.png', labels.astype(np.uint8))[1].tobytes())
    return 1 if refused else 0


if __name__ == '__main__':
    sys.exit(main())
