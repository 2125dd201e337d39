"""``mmrefine convert IN OUT``: convert masks between the formats of tools."""

from __future__ import annotations

import argparse
import sys

from mmrefine.cli.job_command import MAX_PROBLEMS, run

DESCRIPTION = """\
Convert masks to another format. IN is a file or a folder of any format that mmrefine refine reads; OUT must not
exist. Only masks, their categories and scores are converted: to refine a file and keep everything else in it, use
mmrefine refine, which needs no conversion.
"""
EPILOG = """\
examples:
  mmrefine convert labelme/ coco.json --images photos/
  mmrefine convert coco.json yolo/ --to yolo
  mmrefine convert refined/predictions.json polygons.json --polygons
  mmrefine convert annotations.xml masks/ --to instances

exit status: 0 all masks written; 1 some were not; 2 nothing was written.
"""


def main(argv: list[str] | None = None) -> int:
    from mmrefine.core.outlines import DEFAULT_TOLERANCE_PX

    parser = argparse.ArgumentParser(
        prog='mmrefine convert',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('masks', metavar='IN', help='file or folder of masks')
    parser.add_argument('out', metavar='OUT', help='file or folder to write, which must not exist')
    parser.add_argument('--to', metavar='FORMAT', help='default: by the suffix of OUT, .json is COCO, .xml is CVAT')
    parser.add_argument('--format', metavar='FORMAT', help='format of IN (default: detected)')
    parser.add_argument('--images', metavar='IMAGES', help='the images; needed if IN does not contain their sizes')
    parser.add_argument('--image-root', metavar='DIR', help='folder to which names in a COCO file are relative')
    parser.add_argument(
        '--polygons',
        metavar='TOLERANCE_PX',
        nargs='?',
        type=float,
        const=DEFAULT_TOLERANCE_PX,
        help='write polygons instead of RLE to COCO files, within this tolerance (default: %(const)s, lossless)',
    )
    parser.add_argument('--crowds', action='store_true', help='convert COCO masks with iscrowd=1 too')
    args = parser.parse_args(argv)
    return run(lambda: convert(args), stopped=f'stopped; {args.out} is not complete: remove it to start again.')


def convert(args: argparse.Namespace) -> int:
    """Convert, and print what was left out; returns the exit status."""
    from mmrefine.files.names import printable
    from mmrefine.jobs.convert import convert as convert_masks
    from mmrefine.utils import counted

    report = convert_masks(
        args.masks,
        args.out,
        to=args.to,
        source_format=args.format,
        images=args.images,
        image_root=args.image_root,
        polygons=args.polygons,
        crowds=args.crowds,
    )
    for problem in report['problems'][:MAX_PROBLEMS]:
        print(printable(f'skipped {problem}'), file=sys.stderr)
    masks, images = counted(report['masks'], 'mask'), counted(report['images'], 'image')
    print(printable(f'{masks} of {images} written to {args.out}'))
    return 1 if report['problems'] else 0
