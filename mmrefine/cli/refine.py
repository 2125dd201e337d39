"""Refine the masks of a dataset: mmrefine refine IMAGES MASKS --out DIR."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mmrefine.cli.job_command import MAX_PROBLEMS, add_job_options, add_refiner_options, common_options, run

if TYPE_CHECKING:
    from mmrefine.files.activation_maps import MapNames

DESCRIPTION = """\
Refine coarse masks. The results have the format of the inputs, with a summary.json.

  IMAGES  an image, a folder of images (searched recursively), or a COCO file for its images
  MASKS   a COCO results list or annotation file    -> DIR/<same name>: same records, ids, order and other fields;
                                                       refined masks as RLE, which is lossless
          PNG masks, a file or a folder             -> DIR/masks/<same names>; same levels, bit depth and palette;
                                                       grey levels 0..255 are probabilities, thresholded at 0.5
          PNG label maps, with --semantic           -> DIR/masks/<same names>; where regions overlap, the one with the
                                                       highest score wins, then the smallest
          files of labelme, CVAT, Label Studio,     -> DIR/masks/<same names>, or DIR/<same name> if one file contains
          YOLO-seg, NumPy                              all masks; see docs/formats.md
          activation maps, with --cam               -> DIR/masks/<same names>.png; label maps with a palette, in which
                                                       0 is the background and k + 1 is class k

COCO masks find their image by image_id and file name, PNG files by name (suffixes may differ). Images are rotated
upright by their EXIF data; masks must be drawn on the upright image.
"""
EPILOG = """\
The job can be stopped at any time: the same command resumes it, and the resulting files are the same.
Images that are missing or damaged are skipped, unusable masks are not changed; both are listed at the end and in
summary.json. Later runs refine images whose masks, weights or config have changed. Only results and .job/ in DIR are
written or deleted.

To review masks and accept or reject proposals, use --report, then mmrefine decide.

Large datasets: tools/dist_refine.sh and tools/slurm_refine.sh distribute the work to processes, --launcher ray to the
actors of a Ray cluster; they must share a disk. See docs/scaling.md.

exit status: 0 all masks were refined; 1 some images were skipped, or some masks are unusable; 2 the job could not
start or continue.

examples:
  mmrefine refine photos/ predictions.json --out refined/ --pictures 20
  mmrefine refine annotations.json annotations.json --image-root photos/ --out refined/ --gt gt.json
  mmrefine refine photos/ label_maps/ --semantic --ignore-label 255 --out refined/
  mmrefine refine photos/ cams/ --cam --cam-threshold 0.1 0.2 0.3 0.4 --gt label_maps/ --ignore-band --out refined/
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='mmrefine refine',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('images', metavar='IMAGES')
    parser.add_argument('masks', metavar='MASKS')
    parser.add_argument('--out', metavar='DIR', required=True, help='output folder')
    parser.add_argument('--image-root', metavar='DIR', help=_IMAGE_ROOT_HELP)
    parser.add_argument('--gt', metavar='MASKS', help='ground truth in the same format: adds IoU and boundary IoU')
    parser.add_argument('--pictures', metavar='N', nargs='?', type=int, const=-1, default=0, help=_PICTURES_HELP)
    parser.add_argument('--report', action='store_true', help=_REPORT_HELP)
    parser.add_argument('--format', metavar='NAME', help=_FORMAT_HELP)
    parser.add_argument('--polygons', metavar='TOLERANCE_PX', nargs='?', type=float, const=0.25, help=_POLYGONS_HELP)
    parser.add_argument('--crowds', action='store_true', help=_CROWDS_HELP)

    label_maps = parser.add_argument_group('label maps')
    label_maps.add_argument('--semantic', action='store_true', help='the PNG files are label maps')
    label_maps.add_argument('--ignore-label', metavar='LABEL', type=_label, default=255, help=_IGNORE_HELP)
    label_maps.add_argument('--background-label', metavar='LABEL', type=_label, default=0, help=_BACKGROUND_HELP)

    label_maps.add_argument('--ignore-band', action='store_true', help=_BAND_HELP)
    label_maps.add_argument('--cam', action='store_true', help=_CAM_HELP)
    label_maps.add_argument('--cam-threshold', metavar='T', type=float, nargs='+', default=[0.25], help=_THRESHOLD_HELP)

    label_maps.add_argument('--cam-key', metavar='NAME', help='key of the maps in the files of another tool')
    label_maps.add_argument('--cam-first-class', type=int, choices=(0, 1), help=_FIRST_CLASS_HELP)
    label_maps.add_argument('--split', choices=('merged', 'components', 'classes'), default='merged', help=_SPLIT_HELP)

    model = add_refiner_options(parser)
    model.add_argument('--batch-masks', metavar='N', type=int, default=8, help=_BATCH_HELP)
    model.add_argument('--workers', metavar='N', type=int, default=2, help='threads that read ahead (default: 2)')
    add_job_options(parser)
    return parser.parse_args(argv)


_CROWDS_HELP = 'refine COCO masks with iscrowd=1 too: Datumaro and supervision export every RLE with it'
_IMAGE_ROOT_HELP = 'folder to which names in a COCO file are relative (default: the folder of the file)'
_FORMAT_HELP = 'format of MASKS (default: detected); see docs/formats.md'
_POLYGONS_HELP = 'write polygons instead of RLE to COCO files, within this tolerance (default: %(const)s, lossless)'
_REPORT_HELP = 'write DIR/review/index.html: every mask before and after, to accept or reject'
_PICTURES_HELP = 'draw image, coarse and refined masks side by side for the first N images, or for all'
_IGNORE_HELP = 'void label, which is not changed (default: 255); "none" if there is none'
_BACKGROUND_HELP = (
    'label of the background, which is not refined and fills pixels that objects lose (default: 0); "none" if there is '
    'none'
)
_BAND_HELP = 'also write DIR/pseudo_labels/, with void (255) where coarse and refined label differ'
_CAM_HELP = 'MASKS are class activation maps, .npy and .npz files: see docs/cam.md'
_THRESHOLD_HELP = (
    'activation maps: pixels with lower scores are background (default: 0.25); several thresholds are compared in a '
    'table, and with --gt the best one is used'
)
_FIRST_CLASS_HELP = (
    'number of the first class in activation maps; 1 if class 0 is the background (default: 0, or as in the files)'
)
_SPLIT_HELP = (
    'regions of a label: its components, merged if they are probably one object (merged, the default), its components, '
    'or all its pixels (classes)'
)
_BATCH_HELP = 'masks refined together, from one or several images (default: %(default)s)'


def _label(text: str) -> int | None:
    return None if text == 'none' else int(text)


def choose_threshold(args: argparse.Namespace) -> float | None:
    """The threshold, or the best of several by ground truth; None if there are several and no ground truth."""
    from mmrefine.jobs.cam import best_threshold, format_sweep, sweep_thresholds

    if len(args.cam_threshold) == 1:
        return args.cam_threshold[0]
    scores = sweep_thresholds(args.masks, args.cam_threshold, args.gt, cam_names(args))
    print(format_sweep(scores))
    return best_threshold(scores)


def cam_names(args: argparse.Namespace) -> MapNames:
    """Keys and class numbering of the activation maps."""
    from mmrefine.files.activation_maps import MapNames

    return MapNames(args.cam_key, args.cam_first_class)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return run(lambda: refine(args), args.debug, lambda: swapped(args.images, args.masks))


def refine(args: argparse.Namespace) -> int:
    """Run the job and print its report; returns the exit status."""
    # Imported late, so that --help is fast.
    from mmrefine.files.names import printable
    from mmrefine.jobs import format_report, refine_dataset
    from mmrefine.jobs.cam import compare_label_maps, format_label_quality
    from mmrefine.jobs.review import write_review
    from mmrefine.utils import counted

    threshold = choose_threshold(args) if args.cam else None
    if args.cam and threshold is None:
        print('nothing was refined: choose one of the thresholds, or give --gt.')
        return 0
    report = refine_dataset(
        args.images,
        args.masks,
        args.out,
        **common_options(args),
        format=args.format,
        semantic=args.semantic,
        ignore_label=args.ignore_label,
        background_label=args.background_label,
        cam_threshold=threshold,
        cam_names=cam_names(args),
        split=args.split,
        ignore_band=args.ignore_band,
        polygons=args.polygons,
        crowds=args.crowds,
        image_root=args.image_root,
        gt=args.gt,
        pictures=None if args.pictures < 0 else args.pictures,
        batch_masks=args.batch_masks,
        workers=args.workers,
    )
    if report is None:  # the first process reports
        return 0
    print(format_report(report))
    if report.total['masks'] and args.gt and (args.cam or args.semantic):
        void = 255 if args.cam else args.ignore_label
        quality = compare_label_maps(args.masks, args.out, args.gt, threshold, void, cam_names(args))
        print(format_label_quality(quality))
    for failure in report.failed:
        print(printable(f'skipped {failure["image"]}: {failure["error"]}'), file=sys.stderr)
    for problem in report.problems[:MAX_PROBLEMS]:
        mask = '' if problem['mask'] is None else f', mask {problem["mask"]}'
        print(printable(f'not used {problem["image"]}{mask}: {problem["error"]}'), file=sys.stderr)
    if report.failed:
        print(f'{counted(len(report.failed), "image")} skipped.', file=sys.stderr)
    if report.problems:
        print(
            f'{counted(report.total["problems"], "unusable mask")}; see {args.out}/summary.json.',
            file=sys.stderr,
        )
    print(printable(f'results are in {args.out}'))
    if args.report and report.total['masks']:
        print(printable(f'review them in a browser: {write_review(args.out)}'))
    return 0 if report.is_clean else 1


def swapped(images: str, masks: str) -> str:
    """A hint if IMAGES look like masks and MASKS like images; else ''."""
    from mmrefine.files.names import find_files

    suffixes = ('.jpg', '.jpeg', '.webp')
    annotations = ('.json', '.xml', '.txt', '.npy', '.npz', '.png')
    try:
        looks_so = find_files(masks, suffixes) and find_files(images, annotations)
        looks_so = looks_so and not find_files(images, suffixes)
    except (OSError, ValueError):  # invalid paths
        return ''
    if looks_so:
        return ' IMAGES come first and MASKS second: are they swapped?'
    return ''
