"""Convert images with label maps or binary masks to one COCO file, one annotation per region.

A region is a value of the label map other than --ignore (default 0), or the whole mask with --binary. Label maps are
found by the image's relative path and stem; with --several also <stem>_<k>, maps of several annotators (BSDS).

  # a folder of images and binary masks
  python tools/dataset_converters/label_maps_to_coco.py images masks out/objects.json --binary
  # the segmentations of BSDS500: every region of every annotator, large images downsized
  python tools/dataset_converters/label_maps_to_coco.py images/train labels/train out/bsds.json --several --ignore -1
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

from mmrefine.files.atomic import whole_file
from mmrefine.utils import counted

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of images, searched recursively')
    parser.add_argument('labels', type=Path, help='folder of label maps or masks, laid out like the images')
    parser.add_argument('out', type=Path, help='COCO file to write; images are stored beside it in <out stem>/')
    parser.add_argument('--binary', action='store_true', help='all pixels over 0 are one object')
    parser.add_argument('--components', action='store_true', help='split every region into its connected components')
    parser.add_argument('--several', action='store_true', help='take <stem>_<k> as further label maps of <stem>')
    parser.add_argument('--ignore', type=int, default=0, help='label that is not a region; -1: every label is one')
    parser.add_argument('--max-side', type=int, default=800, help='downsize larger images; 0: never')
    parser.add_argument('--min-area', type=int, default=200, help='smallest region in pixels, after resizing')
    parser.add_argument('--max-share', type=float, default=0.8, help='largest region as a fraction of the image')
    parser.add_argument('--only', nargs='*', default=[], help='convert only these top-level folders of IMAGES')
    parser.add_argument('--skip', nargs='*', default=[], help='skip these top-level folders of IMAGES')
    parser.add_argument('--check', action='store_true', help='only list images without label map')
    return parser.parse_args()


def image_paths(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Paths of the images to convert, and their relative paths without suffix."""
    paths = sorted(path for path in args.images.rglob('*') if path.suffix.lower() in SUFFIXES)
    named = [(path, path.relative_to(args.images).with_suffix('')) for path in paths]
    return [
        (path, name)
        for path, name in named
        if name.parts[0] not in args.skip and (not args.only or name.parts[0] in args.only)
    ]


def check(args: argparse.Namespace) -> int:
    """List images without label map; returns 1 if there are any, 2 if there are no images."""
    wanted = image_paths(args)
    absent = [str(path) for path, name in wanted if not label_paths(args.labels, name, args.several)]
    print(
        f'{counted(len(wanted), "image")} in {args.images}, {len(absent)} of them without a label map in {args.labels}'
    )
    for path in absent[:5]:
        print(path)
    return 2 if not wanted else 1 if absent else 0


def label_paths(folder: Path, name: Path, several: bool) -> list[Path]:
    """The label maps of one image, by its relative path without suffix."""
    stem = name.name
    paths = [path for path in sorted((folder / name.parent).glob(f'{stem}*')) if path.suffix.lower() in SUFFIXES]
    return [path for path in paths if path.stem == stem or (several and path.stem.startswith(f'{stem}_'))]


def regions(label_map: np.ndarray, args: argparse.Namespace) -> list[np.ndarray]:
    """(H, W) bool masks of one label map."""
    if args.binary:
        masks = [label_map > 0]
    else:
        masks = [label_map == value for value in np.unique(label_map) if value != args.ignore]
    if args.components:
        parts = (cv2.connectedComponents(mask.astype(np.uint8)) for mask in masks)
        masks = [components == index for count, components in parts for index in range(1, count)]
    low, high = args.min_area, args.max_share * label_map.size
    return [mask for mask in masks if low <= np.count_nonzero(mask) <= high]


def main() -> None:
    args = parse_args()
    if args.images.resolve() == args.labels.resolve():
        raise SystemExit(
            f'IMAGES and LABELS are the same folder, {args.images}, in which images and masks cannot be distinguished. '
            'For published datasets there is published_masks_to_coco.py.'
        )
    if args.check:
        raise SystemExit(check(args))
    folder = args.out.with_suffix('')
    images, annotations = [], []
    for path, name in tqdm(image_paths(args), desc=args.out.stem, disable=None):
        found = label_paths(args.labels, name, args.several)
        if not found:
            raise SystemExit(f'{path} has no label map {args.labels / name}.* (suffixes {sorted(SUFFIXES)}).')
        image = Image.open(path).convert('RGB')
        scale = min(1.0, args.max_side / max(image.size)) if args.max_side else 1.0
        size_wh = tuple(round(side * scale) for side in image.size)
        target = (folder / name).with_suffix('.jpg')
        target.parent.mkdir(parents=True, exist_ok=True)
        image.resize(size_wh, Image.Resampling.LANCZOS).save(target, quality=95)
        record = {
            'id': len(images) + 1,
            'file_name': str(target.relative_to(folder)),
            'width': size_wh[0],
            'height': size_wh[1],
        }
        images.append(record)
        for label_path in found:
            label_map = np.array(Image.open(label_path)).astype(np.int32)
            label_map = cv2.resize(label_map.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST).astype(
                np.int32
            )
            for mask in regions(label_map, args):
                rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
                annotations.append(
                    {
                        'id': len(annotations) + 1,
                        'image_id': record['id'],
                        'category_id': 1,
                        'segmentation': {'size': list(rle['size']), 'counts': rle['counts'].decode()},
                        'area': int(np.count_nonzero(mask)),
                        'bbox': coco_mask.toBbox(rle).tolist(),
                        'iscrowd': 0,
                    }
                )
    content = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'region'}]}
    with whole_file(args.out) as file:
        json.dump(content, file)
    print(f'{args.out}: {counted(len(images), "image")}, {counted(len(annotations), "region")}')


if __name__ == '__main__':
    main()
