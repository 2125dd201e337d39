"""Convert activation maps to label maps: tools/dataset_converters/activation_maps_to_labels.py MAPS OUT --alpha 8.

MAPS is a folder of .npz and .npy files, one per image, OUT a folder for palette PNG files of the same names and the
size of the maps, in which 0 is the background and class k is k + 1. mmrefine refine --semantic refines them;
mmrefine refine --cam refines activation maps in one step.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from mmrefine.core.activation_maps import activation_label_map
from mmrefine.core.palette import voc_palette
from mmrefine.core.regions import VOID
from mmrefine.files.activation_map_source import activation_map_paths, check_unambiguous
from mmrefine.files.activation_maps import MapNames, load_activation_maps
from mmrefine.files.atomic import whole_file
from mmrefine.files.mask_files import MaskFile


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('maps', metavar='MAPS', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    background = parser.add_mutually_exclusive_group()
    background.add_argument('--alpha', type=float, help='the background scores (1 - highest score)^alpha; default: 8')
    background.add_argument('--threshold', type=float, help='the background scores this everywhere')
    parser.add_argument('--cam-key', metavar='NAME', help='key of the maps in the files; default: those of known tools')
    parser.add_argument('--cam-first-class', type=int, choices=(0, 1), help=_FIRST_CLASS_HELP)
    parser.add_argument('--check', action='store_true', help='only list unreadable files')
    return parser.parse_args()


_FIRST_CLASS_HELP = (
    'number of the first class in the files; 1 if class 0 is the background; default: 0, or as the files specify'
)


def main() -> int:
    args = parse_args()
    alpha = 8.0 if args.alpha is None and args.threshold is None else args.alpha
    try:
        paths = activation_map_paths(args.maps)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    refused, names = 0, MapNames(args.cam_key, args.cam_first_class)
    for name, path in track_iter_progress(list(paths.items())):
        try:
            check_unambiguous(path)
            labels, _ = activation_label_map(*load_activation_maps(path, names), alpha, threshold=args.threshold)
            if not labels.size:
                raise ValueError('it has no maps, so the size of the label map is unknown.')
            if labels.max() >= VOID:
                raise ValueError(f'class {labels.max() - 1} does not fit into a label map of 8 bits.')
        except (OSError, ValueError) as error:
            print(f'left out {path}: {error}', file=sys.stderr)
            refused += 1
            continue
        if args.check:
            continue
        labels = labels.astype(np.uint8)
        with whole_file(args.out / name, 'wb') as file:
            MaskFile(str(path), labels, voc_palette()).save(file, labels)
    print(f'readable files of activation maps: {len(paths) - refused} of {len(paths)}')
    return 1 if refused else 0


if __name__ == '__main__':
    sys.exit(main())
