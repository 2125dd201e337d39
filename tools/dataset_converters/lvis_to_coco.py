"""Convert LVIS annotations to COCO's classes, on COCO's images: lvis_to_coco.py LVIS.json COCO_VAL.json OUT.json.

LVIS.json is lvis_v1_val.json or lvis_v1_train.json (COCO val 2017 has images in both), COCO_VAL.json
instances_val2017.json, of which only the images are read. tools/analysis_tools/evaluate_ap.py --lvis evaluates results
against OUT.json. With --check nothing is written, only the numbers are printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmrefine.core.coco_lvis import COCO_SYNSETS, lvis_to_coco
from mmrefine.files.atomic import OutputError, whole_file
from mmrefine.files.coco_file import read_images
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('lvis', metavar='LVIS.json', type=Path)
    parser.add_argument('coco', metavar='COCO_VAL.json', type=Path)
    parser.add_argument('out', metavar='OUT.json', type=Path)
    parser.add_argument('--check', action='store_true', help='only print the numbers')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        content = lvis_to_coco(json.loads(args.lvis.read_text(encoding='utf-8')), read_images(args.coco))
        if not content['images']:
            raise ValueError(f'{args.lvis} has none of the images of {args.coco}.')
        if not args.check:
            with whole_file(args.out) as file:
                json.dump(content, file)
    except (OSError, ValueError, KeyError, OutputError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    annotations, images, classes = (len(content[key]) for key in ('annotations', 'images', 'categories'))
    where = 'found' if args.check else f'in {args.out}'
    masks, on = counted(annotations, 'mask'), counted(images, 'image')
    print(f'{masks} of {classes} of the {len(COCO_SYNSETS)} classes on {on} {where}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
