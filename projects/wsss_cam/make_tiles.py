"""Cut the images of a COCO file into tiles with image-level labels, and ground-truth label maps for evaluation.

OUT/{train,val}/images/*.png   tiles
OUT/{train,val}/labels/*.png   label maps: 0 background, class k is k + 1; training never sees those of train/
OUT/{train,val}/classes.json   {"tile": [classes in it]}: all that the classifier gets
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from mmrefine.core.palette import voc_palette
from mmrefine.core.rle import decode_segmentation
from mmrefine.files.coco_file import CocoFile
from mmrefine.files.images import read_image


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('coco', type=Path, help='COCO file')
    parser.add_argument('images', type=Path, help='folder of its images')
    parser.add_argument('out', type=Path)
    parser.add_argument('--size', type=int, default=128, help='side of a tile in pixels')
    parser.add_argument('--stride', type=int, default=80, help='of training tiles; held-out tiles do not overlap')
    parser.add_argument('--held-out', type=int, default=3, help='every k-th image is held out')
    parser.add_argument('--min-px', type=int, default=400, help='a class with fewer pixels is not in a tile')
    return parser.parse_args()


def label_map(coco: CocoFile, image_id: object, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, 0 for the background and k + 1 for the k-th category."""
    classes = {category: index + 1 for index, category in enumerate(sorted(coco.categories))}
    labels = np.zeros(size_hw, np.uint8)
    for record in coco.read(coco.records_of(image_id)):
        labels[decode_segmentation(record['segmentation'], size_hw)] = classes[record['category_id']]
    return labels


def save(image: np.ndarray, path: Path, palette: bytes | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path)


def main() -> None:
    args = parse_args()
    coco = CocoFile(args.coco)
    present: dict[str, dict[str, list[int]]] = {'train': {}, 'val': {}}
    for index, (image_id, file_name) in enumerate(coco.image_names.items()):
        split = 'val' if index % args.held_out == args.held_out - 1 else 'train'
        stride = args.stride if split == 'train' else args.size
        image = read_image(args.images / file_name)
        labels = label_map(coco, image_id, image.shape[:2])
        for y in range(0, image.shape[0] - args.size + 1, stride):
            for x in range(0, image.shape[1] - args.size + 1, stride):
                window = (slice(y, y + args.size), slice(x, x + args.size))
                name = f'{Path(file_name).stem}_{y}_{x}'
                save(image[window], args.out / split / 'images' / f'{name}.png')
                save(labels[window], args.out / split / 'labels' / f'{name}.png', voc_palette())
                counts = np.bincount(labels[window].ravel(), minlength=len(coco.categories) + 1)[1:]
                present[split][name] = np.flatnonzero(counts >= args.min_px).tolist()
    for split, classes in present.items():
        (args.out / split / 'classes.json').write_text(json.dumps(classes), encoding='utf-8')
        print(f'{split}: {len(classes)} tiles, {sum(map(bool, classes.values()))} with a class')


if __name__ == '__main__':
    main()
