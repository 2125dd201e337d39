"""Refine masks of videos: mmrefine video FRAMES MASKS --out DIR."""

from __future__ import annotations

import argparse
import sys

from mmrefine.cli.job_command import MAX_PROBLEMS, add_job_options, add_refiner_options, common_options, run

DESCRIPTION = """\
Refine the masks of video clips with temporal consistency.

  FRAMES  a folder of frames, a video file, or a folder of such clips (searched recursively)
  MASKS   PNG label maps with the names of the frames, in a folder for each clip as in DAVIS; or one PNG file for
          the first frame. Labels are objects, 0 is background, 255 void; files of 0 and 255 contain one object.
          JSON of YouTube-VIS (annotations, or results with --videos), or COCO with videos and instance ids, with
          file names relative to FRAMES; or JSON with clicks and boxes, for --sam2 (docs/video.md)

Frames are refined independently; where a result contradicts the neighbouring frames, their masks are propagated by
optical flow and refined instead. If every object has a mask on one frame only, or frames have no PNG file, objects are
tracked from frame to frame; with --sam2 by SAM 2.

Results: DIR/masks/<clip>/<frame>.png with palette, or DIR/<name>.json with RLE, by the format of the masks or --write;
DIR/overlays/<clip>.mp4 with --overlay; DIR/summary.json.
"""
EPILOG = """\
Flicker is the change of masks between frames that motion does not explain (docs/video.md): compare before and after.
The job can be stopped at any time: the same command resumes at the clip where it stopped.
Clips that cannot be read are skipped, unusable masks and those of unusable frames are not changed; all are listed at
the end and in summary.json. Only results and .job/ in DIR are written or deleted.

exit status: 0 all clips were refined; 1 some were skipped, or some masks are unusable; 2 the job could not start or
continue.

examples:
  mmrefine video clip.mp4 first_frame.png --out refined/ --overlay
  mmrefine video DAVIS/JPEGImages/480p results/ --out refined/
  mmrefine video frames/ predictions.json --videos instances.json --out refined/ --write png json
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='mmrefine video',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('frames', metavar='FRAMES')
    parser.add_argument('masks', metavar='MASKS')
    parser.add_argument('--out', metavar='DIR', required=True, help='output folder')
    parser.add_argument('--videos', metavar='JSON', help='annotation file that describes the videos of results')
    parser.add_argument('--write', nargs='+', choices=('png', 'json'), help='output formats (default: as the masks)')
    parser.add_argument('--overlay', action='store_true', help='write videos of the masks over the frames')
    parser.add_argument('--allow-gaps', action='store_true', help='allow gaps in the frame numbers')

    model = add_refiner_options(parser)
    model.add_argument('--min-agreement', metavar='IOU', type=float, default=0.95, help=_AGREEMENT_HELP)
    model.add_argument('--sam2', metavar='CONFIG', help='track objects with this SAM2Refiner instead of optical flow')
    model.add_argument('--sam2-checkpoint', metavar='FILE', help='weights for --sam2')
    model.add_argument('--fast', action='store_true', help=_FAST_HELP)
    model.add_argument(
        '--prompt-reuse', choices=('pr', 'pr_gated', 'none', 'all'), default='pr_gated', help=_PROMPT_REUSE_HELP
    )
    add_job_options(parser)
    return parser.parse_args(argv)


_FAST_HELP = 'with --sam2: encode the quadrants of frames at half size, two encoder passes instead of five'
_PROMPT_REUSE_HELP = (
    "with --sam2: which of an object's clicks and box are used on later frames: pr, all of them, as in the paper; "
    "pr_gated, those that do not contradict SAM 2's mask (the default); none; all, also in SAM 2's decoder"
)
_AGREEMENT_HELP = (
    'minimum IoU of a refined mask with those propagated from the neighbouring frames, unless the reliability of the '
    'flow is lower; 0 refines frame by frame (default: %(default)s)'
)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return run(lambda: refine(args), args.debug)


def refine(args: argparse.Namespace) -> int:
    """Run the job and print its report; returns the exit status."""
    # Imported late, so that --help is fast.
    from mmrefine.files.names import printable
    from mmrefine.jobs import format_video_report, refine_video

    report = refine_video(
        args.frames,
        args.masks,
        args.out,
        **common_options(args),
        min_agreement=args.min_agreement,
        sam2=args.sam2,
        sam2_checkpoint=args.sam2_checkpoint,
        fast=args.fast,
        prompt_reuse=args.prompt_reuse,
        write=None if args.write is None else tuple(args.write),
        overlay=args.overlay,
        allow_gaps=args.allow_gaps,
        videos=args.videos,
    )
    if report is None:  # the first process reports
        return 0
    print(format_video_report(report))
    for failure in report.failed:
        print(printable(f'skipped {failure["clip"]}: {failure["error"]}'), file=sys.stderr)
    for problem in report.problems[:MAX_PROBLEMS]:
        where = [f', {name} {problem[name]}' for name in ('frame', 'object') if problem[name] is not None]
        print(printable(f'not used {problem["clip"]}{"".join(where)}: {problem["error"]}'), file=sys.stderr)
    print(printable(f'results are in {args.out}'))
    return 0 if report.is_clean else 1
