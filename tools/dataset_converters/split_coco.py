"""Split a COCO file by image: tools/dataset_converters/split_coco.py ANNOTATIONS OUT --parts train=12 val=6.

Every part becomes OUT/<name>.json with its images, their annotations and all categories. Images are drawn at random
without replacement; the rest is dropped. Parts with the same seed and the same order of names do not
depend on the order of the images in the file. With --check nothing is written: the command prints the counts, and the
number of annotations that belong to no image.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from mmrefine.files.atomic import whole_file
from mmrefine.files.coco_tables import read_annotations
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', metavar='ANNOTATIONS', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path, help='folder for the parts')
    parser.add_argument('--parts', nargs='+', required=True, metavar='NAME=COUNT', help='images of each part')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--check', action='store_true', help='only report counts and problems')
    return parser.parse_args()


def read_counts(parts: list[str]) -> dict[str, int]:
    """``['train=12', 'val=6']`` as a dict."""
    counts = {}
    for part in parts:
        name, _, count = part.partition('=')
        if not name or not count.isdecimal() or name in counts:
            raise ValueError(f'--parts expects NAME=COUNT such as train=12, every name once, got {part!r}.')
        counts[name] = int(count)
    return counts


def split(content: dict, counts: dict[str, int], seed: int) -> dict[str, dict]:
    """One COCO dict per part, images in the order of their ids."""
    images = {image['id']: image for image in content['images']}
    if sum(counts.values()) > len(images):
        raise ValueError(f'--parts asks for {sum(counts.values())} images, the file has {len(images)}.')
    drawn = iter(np.random.default_rng(seed).permutation(sorted(images)).tolist())
    result = {}
    for name, count in counts.items():
        ids = sorted(next(drawn) for _ in range(count))
        chosen = set(ids)
        annotations = [record for record in content['annotations'] if record.get('image_id') in chosen]
        result[name] = {**content, 'images': [images[i] for i in ids], 'annotations': annotations}
    return result


def main() -> int:
    args = parse_args()
    try:
        content = read_annotations(args.annotations)
        parts = split(content, read_counts(args.parts), args.seed)
        known = {image['id'] for image in content['images']}
        strays = sum(record.get('image_id') not in known for record in content['annotations'])
        if strays:
            print(f'annotations of no image: {strays} of {len(content["annotations"])}', file=sys.stderr)
        for name, part in parts.items():
            if not args.check:
                with whole_file(args.out / f'{name}.json') as file:
                    json.dump(part, file)
            counts = counted(len(part['images']), 'image'), counted(len(part['annotations']), 'annotation')
            print(f'{args.out / name}.json: {", ".join(counts)}')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 1 if args.check and strays else 0


if __name__ == '__main__':
    sys.exit(main())
