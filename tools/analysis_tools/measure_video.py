"""What refinement does to coarse masks of clips whose truth is known: gain, harm, flicker.

  python tools/analysis_tools/measure_video.py DAVIS/JPEGImages/480p DAVIS/Annotations/480p --clips libby

Every frame's true mask is degraded by its own draw of all simulators (mmrefine.core.coarse_masks, seeded by frame) and
refined alone and in agreement with its neighbours. Harm: share of masks whose IoU fell by more than a point. Flicker
(mmrefine.core.temporal): the truth's own is the least to be had, as flow errs and objects turn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from mmrefine.apis.inferencer import RefineInferencer
from mmrefine.core.coarse_masks import simulate_coarse_mask
from mmrefine.core.temporal import flicker
from mmrefine.datasets.video_masks import ClipMasks, open_videos
from mmrefine.evaluation import measure_masks, summarize_refinement
from mmrefine.models.video import FlowPropagator, FramewiseVideoRefiner


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
    parser.add_argument('truth', metavar='TRUTH', help='PNG masks on all frames')
    parser.add_argument('--clips', nargs='+', help='names; default: all')
    parser.add_argument('--frames-per-clip', metavar='N', type=int, help='the first N; default: all')
    parser.add_argument('--iou-range', nargs=2, type=float, default=(0.5, 0.95), help='of the coarse masks')
    parser.add_argument('--model', default='segrefiner_tiny', help='name of a bundled model or a config')
    parser.add_argument('--checkpoint', help='its weights')
    parser.add_argument('--min-agreement', type=float, default=0.95)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def degrade(frames: Sequence[np.ndarray], truth: list[np.ndarray], args: argparse.Namespace) -> list[np.ndarray]:
    """A coarse mask for every frame, each with a generator of its own."""
    return [
        simulate_coarse_mask(mask, np.random.default_rng([args.seed, t]), frames[t], iou_range=tuple(args.iou_range))
        for t, mask in enumerate(truth)
    ]


def main() -> int:
    args = parse_args()
    refiner = RefineInferencer(args.model, args.checkpoint).refiner
    source = open_videos(args.truth, args.frames, allow_gaps=True)
    print('clip                 masks     IoU %  boundary IoU %  harm %  flicker  anew  seconds')
    for clip in source.clips:
        if args.clips and clip.name not in args.clips:
            continue
        frames, masks = source.open(clip)
        count = min(len(frames), args.frames_per_clip or len(frames))
        measure_clip(clip.name, [frames[t] for t in range(count)], masks, refiner, args)
    return 0


def measure_clip(
    name: str, frames: list[np.ndarray], masks: ClipMasks, refiner: object, args: argparse.Namespace
) -> None:
    """Print the lines of a clip."""
    flows = FlowPropagator()
    steps = [flows.flow(frames, t, t - 1) for t in range(1, len(frames))]
    for place, object_id in enumerate(masks.object_ids):
        truth = [masks.load(t)[place] for t in range(len(frames))]
        coarse = degrade(frames, truth, args)
        before = measure_masks(np.stack(coarse), np.stack(truth), ('iou', 'boundary_iou'))
        kinds = {'truth': (truth, 0, 0.0), 'coarse': (coarse, 0, 0.0)}
        for kind, least in (('frame by frame', 0.0), ('in agreement', args.min_agreement)):
            start = time.perf_counter()
            video = FramewiseVideoRefiner(refiner, min_agreement=least, seed=args.seed)
            results = list(video.refine_clip(frames, GivenMasks(coarse)))
            seconds = time.perf_counter() - start
            kinds[kind] = ([item.masks[0] for item in results], sum(int(item.anew[0]) for item in results), seconds)
        print(f'{name} object {object_id}, {len(frames)} frames')
        for kind, (made, anew, seconds) in kinds.items():
            summary = summarize_refinement(
                before, measure_masks(np.stack(made), np.stack(truth), ('iou', 'boundary_iou'))
            )
            values = (100 * summary[key] for key in ('refined/iou', 'refined/boundary_iou', 'harm_rate'))
            shown = '{:14.1f} {:15.1f} {:7.1f}'.format(*values)
            print(f'  {kind:16s} {shown} {flicker(made, steps):8.3f} {anew:5d} {seconds:8.1f}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
