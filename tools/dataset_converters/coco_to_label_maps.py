"""COCO objects to MMSegmentation's label maps: tools/dataset_converters/coco_to_label_maps.py ANNOTATIONS OUT.

Every image becomes OUT/labels/<stem>.png, a palette PNG: 0 is the background, k + 1 the k-th category by id (with
--one-class 1 for all), 255 (void) what a crowd covers. Where objects overlap, the smaller one is on top.
OUT/<stem of ANNOTATIONS>.txt lists the stems.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from mmrefine.core.palette import voc_palette
from mmrefine.core.regions import VOID
from mmrefine.core.rle import decode_segmentation
from mmrefine.files.atomic import whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', metavar='ANNOTATIONS', type=Path, help='COCO file of objects')
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--one-class', action='store_true', help='objects of all categories against the background')
    return parser.parse_args()


def label_map(annotations: list[dict], labels: dict[int, int], size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 of the objects of one image; ``labels`` from category id to label."""
    painted = np.zeros(size_hw, np.uint8)
    masks = [(decode_segmentation(annotation['segmentation'], size_hw), annotation) for annotation in annotations]
    for mask, annotation in sorted(masks, key=lambda pair: -np.count_nonzero(pair[0])):
        painted[mask] = VOID if annotation.get('iscrowd') else labels[annotation['category_id']]
    return painted


def main() -> None:
    args = parse_args()
    content = json.loads(args.annotations.read_text(encoding='utf-8'))
    ids = sorted(category['id'] for category in content['categories'])
    if len(ids) >= VOID:
        raise SystemExit(f'label maps can hold {VOID - 1} categories, {args.annotations} has {len(ids)}.')
    labels = {category_id: 1 if args.one_class else index + 1 for index, category_id in enumerate(ids)}
    of_image: dict[int, list[dict]] = {image['id']: [] for image in content['images']}
    for annotation in content['annotations']:
        of_image[annotation['image_id']].append(annotation)
    stems = []
    for image in tqdm(content['images'], desc='label maps'):
        painted = Image.fromarray(label_map(of_image[image['id']], labels, (image['height'], image['width'])))
        painted.putpalette(voc_palette())
        stems.append(Path(image['file_name']).stem)
        with whole_file(args.out / 'labels' / f'{stems[-1]}.png', 'wb') as file:
            painted.save(file, format='PNG')
    with whole_file(args.out / f'{args.annotations.stem}.txt') as file:
        file.write('\n'.join(sorted(stems)) + '\n')


if __name__ == '__main__':
    main()
