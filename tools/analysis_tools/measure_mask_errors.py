"""Measure the errors of a model's coarse masks and write them to a file, to simulate such masks in training.

  python tools/analysis_tools/measure_mask_errors.py demo/coarse_masks.json demo/ground_truth.json --out errors.json

Both are COCO files; an annotation's ground truth is the one with the same id. Instead of the second file, --config
names a training config: the coarse masks of its training samples in the first folder are measured.

  python tools/analysis_tools/measure_mask_errors.py data/photos/coarse_real/isnet512 \\
      --config configs/segrefiner/segrefiner_tiny_photos.py --out data/photos/errors_isnet512.json

A training pipeline takes the file as dict(type='SimulateCoarseMasks', error_model='errors.json').
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import tee
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmrefine.core.error_measurement import PART_KINDS
from mmrefine.core.error_model import MaskErrorModel
from mmrefine.core.rle import decode_segmentation
from mmrefine.files.error_models import write_error_model
from mmrefine.registry import DATASETS
from mmrefine.utils import counted

# Coarse masks are simulated in windows of this size, so that is where errors count.
PIPELINE = [{'type': 'LoadRGBImage'}, {'type': 'LoadTrueMasks'}, {'type': 'ObjectWindow', 'max_side': 360}]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('coarse', type=Path, help='COCO file of coarse masks; with --config: folder of coarse masks')
    parser.add_argument('gt', type=Path, nargs='?', help='COCO file of ground truth, with the same annotation ids')
    parser.add_argument('--config', help='training config whose samples are measured, instead of the ground truth')
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    args = parser.parse_args()
    if (args.gt is None) == (args.config is None):
        parser.error('give either the COCO file of the ground truth or --config')
    return args


def pairs_of_config(config: str, folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Coarse masks and ground truth of the training samples whose coarse masks lie in the folder."""
    init_default_scope('mmrefine')
    for settings in Config.fromfile(config).train_dataloader.dataset.datasets:
        given = settings.data_prefix.get('coarse')
        if given is None or not Path(given).is_relative_to(folder):
            continue
        settings.update(pipeline=PIPELINE, coarse_threshold=(0.5, 0.5))
        dataset = DATASETS.build(settings)
        for index in range(len(dataset)):
            sample = dataset[index]
            yield sample['coarse_masks'][0], sample['gt_masks'][0]


def read_coco(path: Path) -> tuple[dict, dict]:
    """Annotations by their id, and sizes (H, W) of the images by theirs."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        annotations = {annotation['id']: annotation for annotation in content['annotations']}
        return annotations, {image['id']: (image['height'], image['width']) for image in content['images']}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f'{path} is not a COCO file with images (id, height, width) and annotations (id).') from error


def decode(annotations: list[dict], sizes: dict) -> Iterator[np.ndarray]:
    """Decode the masks one by one, so that they are never all in memory."""
    for annotation in annotations:
        try:
            yield decode_segmentation(annotation['segmentation'], sizes[annotation['image_id']])
        except (KeyError, ValueError) as error:
            raise SystemExit(f'annotation {annotation["id"]} cannot be read: {error}') from error


def print_table(model: MaskErrorModel) -> None:
    masks = counted(len(model.masks), 'mask')
    print(f'{masks}; lengths relative to sqrt(area), areas to the area of the ground-truth mask')
    lost, gained = (np.mean([getattr(errors, name) for errors in model.masks]) for name in ('lost', 'gained'))
    print(f'total     {lost:.4f} lost, {gained:.4f} gained')
    print(f'contour   bias {model.bias:+.4f} (varies by {model.bias_spread:.4f} between masks)')
    print(f'          spread {model.spread:.4f} along a contour, correlated over {model.length:.3f}')
    print('parts     per mask   masks with any   median area   largest')
    for kind in PART_KINDS:
        areas = model.areas(kind)
        share = np.mean([bool(getattr(errors, kind)) for errors in model.masks])
        sizes = f'{np.median(areas):11.4f}   {max(areas):7.4f}' if areas else f'{"-":>11}   {"-":>7}'
        print(f'{kind:8}  {model.rate(kind):8.2f}   {share:14.0%}   {sizes}')


def pairs_of_coco(coarse_file: Path, gt_file: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Coarse masks and ground truth of the annotations that two COCO files share."""
    coarse, coarse_sizes = read_coco(coarse_file)
    gt, gt_sizes = read_coco(gt_file)
    ids = [annotation_id for annotation_id in coarse if annotation_id in gt]
    if not ids:
        raise SystemExit(f'{coarse_file} and {gt_file} share no annotation id; the ids must match.')
    print(f'{counted(len(coarse) - len(ids), "coarse mask")} without ground truth left out')
    yield from zip(decode([coarse[i] for i in ids], coarse_sizes), decode([gt[i] for i in ids], gt_sizes), strict=True)


def main() -> None:
    args = parse_args()
    pairs = pairs_of_config(args.config, args.coarse) if args.config else pairs_of_coco(args.coarse, args.gt)
    # The error model reads pairs of masks one by one, so that they are never all in memory.
    coarse, gt = tee(pairs)
    try:
        model = MaskErrorModel.measure((pair[0] for pair in coarse), (pair[1] for pair in gt))
    except ValueError as error:
        raise SystemExit(f'{args.coarse}: {error}') from error
    print_table(model)
    write_error_model(args.out, model)
    print(f'written to {args.out}')


if __name__ == '__main__':
    main()
