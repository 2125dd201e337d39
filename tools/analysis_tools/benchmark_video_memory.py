"""Measure the memory of the video predictor on a long clip, with and without streaming.

  python tools/analysis_tools/benchmark_video_memory.py                a small model, 500 frames of 128x128
  python tools/analysis_tools/benchmark_video_memory.py --keep-all     without streaming, for comparison

Weights are random; two objects are clicked on the first frame. After warm-up the numbers are constant.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence

import numpy as np
import torch

from mmrefine.models.sam2_refiner import build_video_predictor


class NoiseFrames(Sequence):
    """Frames that are generated on demand."""

    def __init__(self, count: int, side: int):
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, default=500)
    parser.add_argument('--size', type=int, default=128, help='of frames and model input (default: %(default)s)')
    parser.add_argument('--keep-all', action='store_true', help='no streaming')
    parser.add_argument('--every', type=int, default=50, help='frames between lines')
    return parser.parse_args()


def peak_mib() -> float:
    """Peak resident memory of this process."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    base = {'config': 'sam2.1_hiera_t', 'small': {'image_size': args.size}}
    predictor = build_video_predictor({'type': 'SAM2Refiner', 'base': base}, device='cpu')
    state = predictor.init_state(NoiseFrames(args.frames, args.size), streaming=not args.keep_all)
    for obj_id, x in ((1, 0.25), (2, 0.6)):
        predictor.add_new_points_or_box(state, 0, obj_id, points=[[x * args.size, args.size / 2]], labels=[1])
    print('frame  outputs stored  peak MiB')
    for index, _, _ in predictor.propagate_in_video(state):
        if index % args.every == 0 or index == args.frames - 1:
            kinds = [kind for output in state['output_dict_per_obj'].values() for kind in output.values()]
            print(f'{index:5d} {sum(map(len, kinds)):15d} {peak_mib():9.0f}', flush=True)


if __name__ == '__main__':
    main()
