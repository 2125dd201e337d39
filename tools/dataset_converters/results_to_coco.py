"""Convert a detector's masks to a dataset: tools/dataset_converters/results_to_coco.py RESULTS IMAGES OUT.

RESULTS is a COCO results list with masks, IMAGES any COCO file with the images that it refers to, OUT the annotation
file to be written. SAMRefiner++ is trained on such files. With --match OUT is a folder of two files that hold the same
masks in the same order: OUT/coarse.json, the results that match an annotation of their class in IMAGES with an IoU of
0.5, and OUT/truth.json, those annotations.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from mmrefine.core.rle import decode_segmentation
from mmrefine.evaluation import match_masks
from mmrefine.files.atomic import whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', metavar='RESULTS', type=Path)
    parser.add_argument('images', metavar='IMAGES', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--min-score', type=float, default=0.5, help='leave out lower scores (default: 0.5)')
    parser.add_argument('--match', action='store_true', help='write pairs of results and annotations')
    return parser.parse_args()


def to_annotations(results: list[dict], min_score: float) -> list[dict]:
    """Results as annotations: numbered, with areas; those under ``min_score`` or without a pixel are left out."""
    annotations = []
    for result in results:
        area_px = int(coco_mask.area(result['segmentation']))
        if result.get('score', 1.0) >= min_score and area_px > 0:
            annotations.append({**result, 'id': len(annotations) + 1, 'area': area_px, 'iscrowd': 0})
    return annotations


def match(found: list[dict], gt: dict) -> tuple[list[dict], list[dict]]:
    """The results that meet an annotation, and those annotations, numbered alike."""
    by_image = defaultdict(lambda: ([], []))
    for side, records in enumerate((found, gt['annotations'])):
        for record in records:
            if not record.get('iscrowd'):
                by_image[record['image_id']][side].append(record)
    pairs = []
    for image in gt['images']:
        results, annotations = by_image[image['id']]
        if results and annotations:
            size_hw = image['height'], image['width']
            masks = [
                np.stack([decode_segmentation(record['segmentation'], size_hw) for record in side])
                for side in (results, annotations)
            ]
            labels = [np.array([record['category_id'] for record in side]) for side in (results, annotations)]
            scores = np.array([record.get('score', 1.0) for record in results])
            matched = match_masks(masks[0], labels[0], scores, masks[1], labels[1])
            pairs += [(results[k], annotations[n]) for k, n in zip(*matched, strict=True)]
    sides = zip(*pairs, strict=True) if pairs else ([], [])
    return tuple([{**record, 'id': number} for number, record in enumerate(side, 1)] for side in sides)


def main() -> None:
    args = parse_args()
    gt = json.loads(args.images.read_text())
    annotations = to_annotations(json.loads(args.results.read_text()), args.min_score)
    known = {image['id'] for image in gt['images']}
    unknown = sorted({annotation['image_id'] for annotation in annotations} - known)
    if unknown:
        raise SystemExit(f'{args.results} refers to images that are not in {args.images}, such as {unknown[:3]}.')
    files = {args.out: annotations}
    if args.match:
        coarse, true = match(annotations, gt)
        files = {args.out / 'truth.json': true, args.out / 'coarse.json': coarse}
    for path, records in files.items():
        content = {'images': gt['images'], 'categories': gt.get('categories', []), 'annotations': records}
        with whole_file(path) as file:
            json.dump(content, file)
        print(f'{len(records)} masks of {len(gt["images"])} images in {path}')


if __name__ == '__main__':
    main()
