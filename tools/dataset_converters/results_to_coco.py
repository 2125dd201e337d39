"""A detector's masks as a data set: tools/dataset_converters/results_to_coco.py RESULTS IMAGES OUT.

RESULTS is a COCO results list with masks, IMAGES any COCO file with the images that it refers to, OUT the annotation
file to be written. SAMRefiner++ is trained on such files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pycocotools import mask as coco_mask

from mmrefine.files.atomic import whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', metavar='RESULTS', type=Path)
    parser.add_argument('images', metavar='IMAGES', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--min-score', type=float, default=0.5, help='leave out less certain ones (default: 0.5)')
    return parser.parse_args()


def to_annotations(results: list[dict], min_score: float) -> list[dict]:
    """Results as annotations: numbered, with areas; those under ``min_score`` or without a pixel are left out."""
    annotations = []
    for result in results:
        area_px = int(coco_mask.area(result['segmentation']))
        if result.get('score', 1.0) >= min_score and area_px > 0:
            annotations.append({**result, 'id': len(annotations) + 1, 'area': area_px, 'iscrowd': 0})
    return annotations


def main() -> None:
    args = parse_args()
    truth = json.loads(args.images.read_text())
    annotations = to_annotations(json.loads(args.results.read_text()), args.min_score)
    known = {image['id'] for image in truth['images']}
    unknown = sorted({annotation['image_id'] for annotation in annotations} - known)
    if unknown:
        raise SystemExit(f'{args.results} refers to images that {args.images} does not have, such as {unknown[:3]}.')
    content = {'images': truth['images'], 'categories': truth.get('categories', []), 'annotations': annotations}
    with whole_file(args.out) as file:
        json.dump(content, file)
    print(f'{len(annotations)} masks of {len(truth["images"])} images in {args.out}')


if __name__ == '__main__':
    main()
