"""Convert refined predictions to pseudo labels: pseudo_labels_to_coco.py COARSE REFINED IMAGES OUT.

COARSE is a detector's COCO results list with masks and scores on unlabelled images, REFINED the results of
tools/refine.py on it, IMAGES a COCO file with these images and the categories, OUT the annotation file to be
written. Every annotation has the fields score (of the detector), quality (predicted IoU), agreement (IoU of coarse
and refined mask) and weight = quality, with which mmrefine.WeightedCocoDataset trains. Predictions between
--ignore-score and --min-score, or that fail another threshold, become iscrowd=1: neither object nor background. Images
without labels are omitted, since a missing prediction does not prove that there is no object. With --check nothing is
written; the command reports whether the files match and how many labels there would be.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from mmrefine.core.pseudo_labels import PseudoLabelFilter
from mmrefine.files.atomic import OutputError, whole_file
from mmrefine.files.coco_tables import read_annotations, read_results
from mmrefine.files.json_stream import read_json
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    default = PseudoLabelFilter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('coarse', metavar='COARSE', type=Path)
    parser.add_argument('refined', metavar='REFINED', type=Path)
    parser.add_argument('images', metavar='IMAGES', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--min-score', type=float, default=default.min_score, help=_help('confidence'))
    parser.add_argument('--min-quality', type=float, default=default.min_quality, help=_help('quality estimate'))
    parser.add_argument('--min-agreement', type=float, default=default.min_agreement, help=_help('IoU with coarse'))
    parser.add_argument('--min-area', type=int, default=default.min_area_px, help=_help('area in pixels'))
    parser.add_argument('--ignore-score', type=float, help='minimum confidence of what is ignored; default: nothing is')
    parser.add_argument('--check', action='store_true', help='only report counts and problems')
    return parser.parse_args()


def _help(what: str) -> str:
    return f'minimum {what} of a label (default: %(default)s)'


def check_records(coarse: list[dict], content: dict, path: Path) -> None:
    """Every prediction must have a score, and belong to an image and a category of IMAGES."""
    image_ids = {image['id'] for image in content['images']}
    category_ids = {category['id'] for category in content['categories']}
    for index, record in enumerate(coarse):
        missing = {'score', 'segmentation', 'image_id', 'category_id'} - set(record)
        if missing:
            raise SystemExit(f'{path}: result {index} needs {", ".join(map(json.dumps, sorted(missing)))}.')
        if record['image_id'] not in image_ids:
            raise SystemExit(f'{path}: result {index} has image_id {record["image_id"]}, which is not in IMAGES.')
        if record['category_id'] not in category_ids:
            raise SystemExit(
                f'{path}: result {index} has category_id {record["category_id"]}, which is out of range: IMAGES has '
                f'{sorted(category_ids)}; the detector was trained with other classes.'
            )


def qualities_of(summary: dict, count: int) -> np.ndarray:
    """(count,) quality estimates by the number of the result; NaN where the image was skipped."""
    qualities = np.full(count, np.nan)
    for entry in summary['masks']:
        qualities[entry['mask']] = entry['score']
    return qualities


def to_annotations(
    coarse: list[dict], refined: list[dict], qualities: np.ndarray, rules: PseudoLabelFilter
) -> Iterator[dict]:
    """Labels and ignored objects in the order of the results, with ids from 1."""
    agreements = np.array(
        [
            coco_mask.iou([a['segmentation']], [b['segmentation']], [0]).item()
            for a, b in zip(coarse, refined, strict=True)
        ]
    )
    areas_px = coco_mask.area([record['segmentation'] for record in refined])
    boxes = coco_mask.toBbox([record['segmentation'] for record in refined])
    scores = np.array([record['score'] for record in coarse])
    labels, ignored = rules.sort(scores, qualities, agreements, areas_px)
    for number, index in enumerate(np.flatnonzero(labels | (ignored & ~np.isnan(qualities))), 1):
        yield {
            'id': number,
            **{key: refined[index][key] for key in ('image_id', 'category_id', 'segmentation')},
            'bbox': boxes[index].tolist(),
            'area': int(areas_px[index]),
            'iscrowd': int(ignored[index]),
            'score': float(scores[index]),
            'quality': float(qualities[index]),
            'agreement': round(float(agreements[index]), 4),
            'weight': float(qualities[index]),
        }


def main() -> None:
    args = parse_args()
    try:
        rules = PseudoLabelFilter(
            args.min_score, args.min_quality, args.min_agreement, args.min_area, args.ignore_score
        )
        coarse, content = read_results(args.coarse), read_annotations(args.images)
        refined = read_results(args.refined / args.coarse.name)
        summary = read_json(args.refined / 'summary.json')
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    if len(refined) != len(coarse):
        raise SystemExit(f'{args.refined} holds {len(refined)} masks, {args.coarse} {len(coarse)}; refine it again.')
    check_records(coarse, content, args.coarse)
    annotations = list(to_annotations(coarse, refined, qualities_of(summary, len(coarse)), rules)) if coarse else []
    labelled = {annotation['image_id'] for annotation in annotations if not annotation['iscrowd']}
    annotations = [annotation for annotation in annotations if annotation['image_id'] in labelled]
    images = [image for image in content['images'] if image['id'] in labelled]
    if not images:
        best = max((record['score'] for record in coarse), default=0.0)
        raise SystemExit(
            f'none of {len(coarse)} predictions became a label (best score {best:.2f}); lower the thresholds.'
        )
    if not args.check:
        try:
            with whole_file(args.out) as file:
                json.dump({'images': images, 'annotations': annotations, 'categories': content['categories']}, file)
        except OutputError as error:
            raise SystemExit(f'error: {error}') from error
    num_ignored = sum(annotation['iscrowd'] for annotation in annotations)
    print(
        f'{counted(len(annotations) - num_ignored, "label")} and {counted(num_ignored, "ignored object")} of '
        f'{counted(len(coarse), "prediction")}, in {len(images)} of {counted(len(content["images"]), "image")}: '
        f'{args.out}'
    )


if __name__ == '__main__':
    main()
