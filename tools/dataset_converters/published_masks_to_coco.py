"""Published coarse masks and their ground truth as two COCO files: published_masks_to_coco.py LAYOUT ROOT OUT.

OUT/truth.json and OUT/coarse.json hold the same masks in the same order, with the names of images below ROOT; no image
is copied. configs/_base_/datasets/published_masks.py reads them. With --check nothing is written, and missing
files are listed. Grey levels have a threshold of one half. Files that cannot be read are skipped and reported.

  published_masks_to_coco.py big data/big/test data/big/deeplab --coarse data/big/coarse/deeplab
  published_masks_to_coco.py dis5k data/DIS5K/DIS-VD data/dis/isnet_vd --coarse data/dis/coarse/isnet/DIS-VD
  published_masks_to_coco.py davis585-sp data/davis585 data/davis585-sp --check

exit status: 0 all found; 1 some are missing or were skipped; 2 there was nothing to do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from mmrefine.core.rle import box_of, encode_rle
from mmrefine.files.atomic import OutputError, whole_file
from mmrefine.files.mask_layouts import LAYOUTS, MaskLayout, MaskTriple
from mmrefine.utils import counted

_NAMED = 20


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'layout', metavar='LAYOUT', choices=sorted(LAYOUTS), help=f'one of {", ".join(sorted(LAYOUTS))}'
    )
    parser.add_argument('root', metavar='ROOT', type=Path, help='folder of images and ground-truth masks')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder for the two files')
    parser.add_argument('--coarse', metavar='DIR', type=Path, help='folder of coarse masks; default: ROOT')
    parser.add_argument('--check', action='store_true', help='only list missing files')
    return parser.parse_args()


def missing(triples: list[MaskTriple]) -> Iterator[str]:
    """A sentence for each kind of file that is not there."""
    for kind in ('image', 'coarse'):
        paths = [path for path in (getattr(triple, kind) for triple in triples) if not path.is_file()]
        if paths:
            names = ', '.join(map(str, paths[:3])) + (', …' if len(paths) > 3 else '')
            of_all = counted(len(triples), 'image' if kind == 'image' else 'coarse mask')
            yield f'{len(paths)} of {of_all} missing: {names}'


def pairs(layout: MaskLayout, triple: MaskTriple) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Label, ground-truth mask and coarse mask of every ground-truth mask of a file."""
    gt, coarse = layout.read(triple.gt), layout.read(triple.coarse)
    sizes = {mask.shape for masks in (gt, coarse) for mask in masks.values()}
    if len(sizes) > 1:
        raise ValueError(f'{triple.coarse} and {triple.gt} have different sizes, {sorted(sizes)} (H, W).')
    return [(label, mask, coarse.get(label, np.zeros_like(mask))) for label, mask in gt.items()]


def convert(layout: MaskLayout, triples: list[MaskTriple], root: Path) -> tuple[dict, dict, list[str]]:
    """Contents of the two files, and what was left out for which reason."""
    images: dict[Path, dict] = {}
    annotations: tuple[list, list] = [], []
    labels: set[int] = set()
    problems = []
    for triple in track_iter_progress(triples):
        try:
            found = pairs(layout, triple)
            if not triple.image.is_file():
                raise ValueError(f'{triple.gt} has no image {triple.image}.')
        except (OSError, ValueError) as error:
            problems.append(str(error))
            continue
        for label, *masks in found:
            height, width = masks[0].shape
            name = triple.image.relative_to(root).as_posix()
            image = images.setdefault(
                triple.image, {'id': len(images) + 1, 'file_name': name, 'height': height, 'width': width}
            )
            labels.add(label)
            for side, mask in zip(annotations, masks, strict=True):
                side.append(
                    {
                        'id': len(side) + 1,
                        'image_id': image['id'],
                        'category_id': label,
                        'segmentation': encode_rle(mask),
                        'area': int(np.count_nonzero(mask)),
                        'bbox': box_of(mask),
                        'iscrowd': 0,
                    }
                )
    categories = [{'id': label, 'name': str(label)} for label in sorted(labels)]
    common = {'images': list(images.values()), 'categories': categories}
    return {**common, 'annotations': annotations[0]}, {**common, 'annotations': annotations[1]}, problems


def main() -> int:
    args = parse_args()
    layout = LAYOUTS[args.layout]
    triples = list(layout.find(args.root, args.coarse or args.root))
    if not triples:
        print(f'error: {args.root} has no ground-truth masks such as {args.root / layout.example}.', file=sys.stderr)
        return 2
    absent = list(missing(triples))
    for sentence in absent:
        print(sentence, file=sys.stderr)
    if args.check:
        print(
            f'{args.layout}: {counted(len(triples), "ground-truth mask")} in {args.root}'
            + ('' if absent else ', nothing is missing')
        )
        return 1 if absent else 0
    gt, coarse, problems = convert(layout, triples, args.root)
    for problem in problems[:_NAMED]:
        print(f'left out: {problem}', file=sys.stderr)
    if len(problems) > _NAMED:
        print(f'left out: {len(problems) - _NAMED} more', file=sys.stderr)
    if not gt['annotations']:
        print('error: no mask could be read; see above.', file=sys.stderr)
        return 2
    try:
        for name, content in (('truth', gt), ('coarse', coarse)):
            with whole_file(args.out / f'{name}.json') as file:
                json.dump(content, file)
    except OutputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{args.out}: {counted(len(gt["annotations"]), "mask")} of {counted(len(gt["images"]), "image")}')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
