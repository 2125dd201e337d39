"""Convert a detector's masks to a dataset: tools/dataset_converters/results_to_coco.py RESULTS IMAGES OUT.

RESULTS is a COCO results list with masks, IMAGES any COCO file with the images that it refers to, OUT the annotation
file to be written. SAMRefiner++ is trained on such files. With --match OUT is a folder of two files that hold the same
masks in the same order: OUT/coarse.json, the results that match an annotation of their class in IMAGES with an IoU of
0.5, and OUT/truth.json, those annotations. Unusable results are skipped and reported. With --check nothing is written.

exit status: 0 all found; 1 something was skipped; 2 nothing could be done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from mmrefine.core.rle import decode_segmentation
from mmrefine.evaluation import match_masks
from mmrefine.files.atomic import whole_file
from mmrefine.files.coco_tables import read_annotations, read_results, usable_records
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', metavar='RESULTS', type=Path)
    parser.add_argument('images', metavar='IMAGES', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--min-score', type=float, default=0.5, help='minimum score (default: 0.5)')
    parser.add_argument('--match', action='store_true', help='write pairs of results and annotations')
    parser.add_argument('--check', action='store_true', help='only report counts and problems')
    return parser.parse_args()


def to_annotations(results: list[dict], content: dict, min_score: float) -> tuple[list[dict], list[str]]:
    """Results as annotations, numbered, with areas; and why others cannot be used.

    Those under ``min_score`` or without a pixel are left out.
    """
    sizes_hw = {image['id']: (image.get('height'), image.get('width')) for image in content['images']}
    annotations = []
    usable, problems = usable_records(results, content)
    for result in usable:
        if result.get('score', 1.0) < min_score:
            continue
        try:
            area_px = int(np.count_nonzero(decode_segmentation(result['segmentation'], sizes_hw[result['image_id']])))
        except ValueError as error:
            problems.append(f'a mask of image {result["image_id"]}: {error}')
            continue
        if area_px:
            annotations.append({**result, 'id': len(annotations) + 1, 'area': area_px, 'iscrowd': 0})
    return annotations, problems


def match(found: list[dict], gt: dict) -> tuple[list[dict], list[dict]]:
    """The results that meet an annotation, and those annotations, numbered alike."""
    by_image = defaultdict(lambda: ([], []))
    for side, records in enumerate((found, usable_records(gt['annotations'], gt)[0])):
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


def main() -> int:
    args = parse_args()
    try:
        gt = read_annotations(args.images)
        annotations, problems = to_annotations(read_results(args.results), gt, args.min_score)
        if problems and not annotations:
            raise ValueError(
                f'{args.results} has no mask that can be used on the images of {args.images}: {problems[0]}'
            )
        files = {args.out: annotations}
        if args.match:
            coarse, true = match(annotations, gt)
            files = {args.out / 'truth.json': true, args.out / 'coarse.json': coarse}
        for path, records in files.items():
            content = {'images': gt['images'], 'categories': gt['categories'], 'annotations': records}
            if not args.check:
                with whole_file(path) as file:
                    json.dump(content, file)
            print(f'{counted(len(records), "mask")} of {counted(len(gt["images"]), "image")} in {path}')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for problem in problems:
        print(f'left out: {problem}', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
