"""Measure gain, harm and flicker of refinement on clips with ground truth.

  python tools/analysis_tools/measure_video.py DAVIS/JPEGImages/480p DAVIS/Annotations/480p --clips libby

Every frame's ground-truth mask is degraded by a random choice of all simulators (mmrefine.core.coarse_masks, seeded by
frame) and refined frame by frame and with temporal consistency. Harm: fraction of masks whose IoU fell by more than
one point. Flicker (mmrefine.core.temporal): that of the ground truth is the limit, as optical flow has errors.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrefine.apis.inferencer import RefineInferencer
from mmrefine.core.coarse_masks import simulate_coarse_mask
from mmrefine.core.temporal import flicker
from mmrefine.evaluation import evaluate_masks, summarize_refinement
from mmrefine.files.clip_masks import ClipMasks
from mmrefine.jobs.formats import open_clips
from mmrefine.models.video import FlowPropagator, FramewiseVideoRefiner
from mmrefine.utils import counted

METRIC_NAMES = ('iou', 'boundary_iou')


class GivenMasks:
    """Masks of one object on every frame, in memory."""

    object_ids = (1,)

    def __init__(self, masks: Sequence[np.ndarray]):
        self.masks = masks

    def load(self, index: int) -> list[np.ndarray]:
        return [self.masks[index]]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('frames', metavar='FRAMES')
    parser.add_argument('gt', metavar='GT', help='PNG masks on all frames')
    parser.add_argument('--clips', nargs='+', help='names; default: all')
    parser.add_argument('--frames-per-clip', metavar='N', type=int, help='the first N; default: all')
    parser.add_argument('--iou-range', nargs=2, type=float, default=(0.5, 0.95), help='of the coarse masks')
    parser.add_argument('--model', default='segrefiner_tiny', help='name of a bundled model or a config')
    parser.add_argument('--checkpoint', help='its weights')
    parser.add_argument('--min-agreement', type=float, default=0.95)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def degrade(frames: Sequence[np.ndarray], gt: list[np.ndarray], args: argparse.Namespace) -> list[np.ndarray]:
    """A coarse mask for every frame, each with its own random generator."""
    return [
        simulate_coarse_mask(mask, np.random.default_rng([args.seed, t]), frames[t], iou_range=tuple(args.iou_range))
        for t, mask in enumerate(gt)
    ]


def main() -> int:
    args = parse_args()
    refiner = RefineInferencer(args.model, args.checkpoint).refiner
    source = open_clips(args.gt, args.frames, allow_gaps=True)
    print('clip                 masks     IoU %  boundary IoU %  harm %  flicker  restarted  seconds')
    measured: list[dict[str, Measured]] = []
    for clip in source.tasks:
        if args.clips and clip.name not in args.clips:
            continue
        frames, masks = source.open(clip)
        count = min(len(frames), args.frames_per_clip or len(frames))
        measured += measure_clip(clip.name, [frames[t] for t in range(count)], masks, refiner, args)
    if len(measured) > 1:
        joined = {kind: Measured.join([objects[kind] for objects in measured]) for kind in measured[0]}
        print_lines(f'all {len(measured)} objects', joined)
    return 0


@dataclass(frozen=True)
class Measured:
    """Metrics of one kind of masks (coarse, refined, …) of one or several objects.

    Attributes:
        values: for each measure one value per frame.
        flicker: mean over pairs of frames, and over objects.
        restarted: number of frames that were refined again from their neighbours.
        seconds: time of refinement.
    """

    values: dict[str, np.ndarray]
    flicker: float
    restarted: int
    seconds: float

    @classmethod
    def join(cls, parts: Sequence[Measured]) -> Measured:
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
        flickers = [part.flicker for part in parts]
        return cls(values, np.nanmean(flickers), sum(p.restarted for p in parts), sum(p.seconds for p in parts))


def print_lines(title: str, kinds: dict[str, Measured]) -> None:
    """A line for each kind of masks; harm is against the coarse ones."""
    print(f'{title}, {counted(len(kinds["coarse"].values["iou"]), "frame")}')
    for kind, made in kinds.items():
        summary = summarize_refinement(kinds['coarse'].values, made.values)
        values = (100 * summary[key] for key in ('refined/iou', 'refined/boundary_iou', 'harm_rate'))
        shown = '{:14.1f} {:15.1f} {:7.1f}'.format(*values)
        print(f'  {kind:16s} {shown} {made.flicker:8.3f} {made.restarted:10d} {made.seconds:8.1f}', flush=True)


def measure_clip(
    name: str, frames: list[np.ndarray], masks: ClipMasks, refiner: object, args: argparse.Namespace
) -> list[dict[str, Measured]]:
    """Print the lines of a clip, and return the metrics of each of its objects."""
    measured = []
    flows = FlowPropagator()
    steps = [flows.flow(frames, t, t - 1) for t in range(1, len(frames))]
    for index, object_id in enumerate(masks.object_ids):
        gt = [masks.load(t)[index] for t in range(len(frames))]
        coarse = degrade(frames, gt, args)
        kinds = {'GT': (gt, 0, 0.0), 'coarse': (coarse, 0, 0.0)}
        for kind, minimum in (('frame by frame', 0.0), ('consistent', args.min_agreement)):
            start = time.perf_counter()
            video = FramewiseVideoRefiner(refiner, min_agreement=minimum, seed=args.seed)
            results = list(video.refine_clip(frames, GivenMasks(coarse)))
            seconds = time.perf_counter() - start
            kinds[kind] = (
                [item.masks[0] for item in results],
                sum(int(item.restarted[0]) for item in results),
                seconds,
            )
        values = {
            kind: evaluate_masks(np.stack(made), np.stack(gt), METRIC_NAMES) for kind, (made, *_) in kinds.items()
        }
        measured.append(
            {kind: Measured(values[kind], flicker(made, steps), *rest) for kind, (made, *rest) in kinds.items()}
        )
        print_lines(f'{name} object {object_id}', measured[-1])
    return measured


if __name__ == '__main__':
    sys.exit(main())
