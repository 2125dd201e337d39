"""Measure what a model's coarse masks get wrong, and write it to a file that training can draw such errors from.

  python tools/analysis_tools/measure_mask_errors.py demo/coarse_masks.json demo/ground_truth.json --out errors.json

Both are COCO files; an annotation's truth is the one with the same id. A training pipeline takes the file as
dict(type='SimulateCoarseMasks', error_model='errors.json').
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmrefine.core.error_model import PART_KINDS, MaskErrorModel
from mmrefine.core.rle import decode_segmentation


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('coarse', type=Path, help='COCO file of coarse masks')
    parser.add_argument('truth', type=Path, help='COCO file of true masks, with the same annotation ids')
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    return parser.parse_args()


def read_coco(path: Path) -> tuple[dict, dict]:
    """Annotations by their id, and sizes (H, W) of the images by theirs."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        annotations = {annotation['id']: annotation for annotation in content['annotations']}
        return annotations, {image['id']: (image['height'], image['width']) for image in content['images']}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f'{path} is no COCO file with images (id, height, width) and annotations (id): {error!r}.'
        ) from error


def decode(annotations: list[dict], sizes: dict) -> Iterator[np.ndarray]:
    """One mask after another, so that they are never all in memory."""
    for annotation in annotations:
        try:
            yield decode_segmentation(annotation['segmentation'], sizes[annotation['image_id']])
        except (KeyError, ValueError) as error:
            raise SystemExit(f'annotation {annotation["id"]} cannot be read: {error}') from error


def print_table(model: MaskErrorModel) -> None:
    print(f'{len(model.masks)} masks; lengths relative to sqrt(area), areas to the area of the true mask')
    print(f'contour   bias {model.bias:+.4f} (varies by {model.bias_spread:.4f} between masks)')
    print(f'          spread {model.spread:.4f} along a contour, correlated over {model.length:.3f}')
    print('parts     per mask   masks with any   median area   largest')
    for kind in PART_KINDS:
        areas = model.areas(kind)
        share = np.mean([bool(getattr(errors, kind)) for errors in model.masks])
        sizes = f'{np.median(areas):11.4f}   {max(areas):7.4f}' if areas else f'{"-":>11}   {"-":>7}'
        print(f'{kind:8}  {model.rate(kind):8.2f}   {share:14.0%}   {sizes}')


def main() -> None:
    args = parse_args()
    coarse, coarse_sizes = read_coco(args.coarse)
    truth, true_sizes = read_coco(args.truth)
    ids = [annotation_id for annotation_id in coarse if annotation_id in truth]
    if not ids:
        raise SystemExit(f'{args.coarse} and {args.truth} share no annotation id; the truth must have the same ids.')
    pairs = (decode([side[i] for i in ids], sizes) for side, sizes in ((coarse, coarse_sizes), (truth, true_sizes)))
    try:
        model = MaskErrorModel.measure(*pairs)
    except ValueError as error:
        raise SystemExit(f'{args.coarse} and {args.truth}: {error}') from error
    print_table(model)
    print(
        f'{len(coarse) - len(ids)} coarse masks without truth, {len(ids) - len(model.masks)} without overlap left out'
    )
    model.to_json(args.out)
    print(f'written to {args.out}')


if __name__ == '__main__':
    main()
