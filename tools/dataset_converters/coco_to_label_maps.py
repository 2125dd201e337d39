"""Convert a COCO file to label maps of MMSegmentation: tools/dataset_converters/coco_to_label_maps.py ANNOTATIONS OUT.

Every image becomes OUT/labels/<stem>.png, a palette PNG: 0 is the background, k + 1 the k-th category by id (with
--one-class 1 for all), 255 (void) the pixels of crowds. Where objects overlap, the smaller one is on top.
OUT/<stem of ANNOTATIONS>.txt lists the stems. Unusable annotations are skipped and reported. With --check
nothing is written.

exit status: 0 all found; 1 something was skipped; 2 nothing could be done.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from mmrefine.core.palette import voc_palette
from mmrefine.core.regions import VOID
from mmrefine.core.rle import decode_segmentation
from mmrefine.files.atomic import whole_file
from mmrefine.files.coco_file import CocoImage, read_images
from mmrefine.files.coco_tables import read_annotations, usable_records
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', metavar='ANNOTATIONS', type=Path, help='COCO file of objects')
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--one-class', action='store_true', help='objects of all categories against the background')
    parser.add_argument('--check', action='store_true', help='only report what is missing')
    return parser.parse_args()


def label_map(
    annotations: list[dict], labels: dict[int, int], size_hw: tuple[int, int], problems: list[str]
) -> np.ndarray:
    """(H, W) uint8 of the objects of one image; ``labels`` from category id to label."""
    painted = np.zeros(size_hw, np.uint8)
    masks = []
    for annotation in annotations:
        try:
            masks.append((decode_segmentation(annotation['segmentation'], size_hw), annotation))
        except ValueError as error:
            problems.append(f'annotation {annotation.get("id")}: {error}')
    for mask, annotation in sorted(masks, key=lambda pair: -np.count_nonzero(pair[0])):
        painted[mask] = VOID if annotation.get('iscrowd') else labels[annotation['category_id']]
    return painted


def stems_of(images: dict[int, CocoImage], path: Path) -> dict[int, str]:
    """Name of each image's label map without suffix.

    Raises:
        ValueError: names are not unique, or an image cannot be used.
    """
    unusable = [image.problem or f'image {image.name} has no width and height.' for image in images.values()
                if image.problem or image.size_hw is None]  # fmt: skip
    if unusable:
        raise ValueError(f'{path}: {len(unusable)} of {len(images)} images cannot be used: {unusable[0]}')
    stems = {image_id: Path(image.name).stem for image_id, image in images.items()}
    for stem, count in Counter(stems.values()).items():
        if count > 1:
            names = [images[image_id].name for image_id in stems if stems[image_id] == stem]
            raise ValueError(f'{path}: {" and ".join(names[:2])} would become one label map, {stem}.png.')
    return stems


def main() -> int:
    args = parse_args()
    problems: list[str] = []
    try:
        content, images = read_annotations(args.annotations), read_images(args.annotations)
        ids = sorted(category['id'] for category in content['categories'])
        if not ids or len(ids) >= VOID:
            raise ValueError(f'label maps have 1 to {VOID - 1} categories, {args.annotations} has {len(ids)}.')
        labels = {category_id: 1 if args.one_class else index + 1 for index, category_id in enumerate(ids)}
        stems = stems_of(images, args.annotations)
        usable, unusable = usable_records(content['annotations'], content)
        of_image: dict[int, list[dict]] = {image_id: [] for image_id in images}
        for annotation in usable:
            of_image[annotation['image_id']].append(annotation)
        for image_id, image in tqdm(images.items(), desc='label maps', disable=None):
            painted = Image.fromarray(label_map(of_image[image_id], labels, image.size_hw, problems))
            painted.putpalette(voc_palette())
            if not args.check:
                with whole_file(args.out / 'labels' / f'{stems[image_id]}.png', 'wb') as file:
                    painted.save(file, format='PNG')
        if not args.check:
            with whole_file(args.out / f'{args.annotations.stem}.txt') as file:
                file.write('\n'.join(sorted(stems.values())) + '\n')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for problem in unusable + problems:
        print(f'left out: {problem}', file=sys.stderr)
    objects = counted(len(usable) - len(problems), 'object')
    print(f'{objects} of {counted(len(ids), "category", "categories")} on {counted(len(images), "image")}')
    return 1 if unusable or problems else 0


if __name__ == '__main__':
    sys.exit(main())
