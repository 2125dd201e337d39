"""Measure the cost of SAMRefiner, in passes of SAM's image encoder.

All times are of one run on one machine: the encoder of segment-anything, that of mmrefine in float32 and bfloat16, and
everything outside the encoder for several numbers of masks, by parts. Weights are random unless --checkpoint is
given: speed does not depend on them, except that masks of trained weights converge in fewer rounds.

    tools/analysis_tools/benchmark_sam_refiner.py --arch vit_b --masks 1 10 30
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch

from mmrefine.files.atomic import whole_file
from mmrefine.models.backends import PromptFeatures, SAMBackend
from mmrefine.models.refiners import RefineInput, SAMRefiner, sam_refiner
from mmrefine.utils import counted

_PARTS = ('distance_fields', 'prompt_points', 'context_similarity', 'elastic_boxes', 'mask_prompts')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='vit_b', choices=['vit_b', 'vit_l', 'vit_h'])
    parser.add_argument('--checkpoint', help='path or URL of its weights')
    parser.add_argument('--size', type=int, nargs=2, default=(343, 500), metavar=('H', 'W'), help='of the image')
    parser.add_argument('--masks', type=int, nargs='+', default=[1, 10, 30], help='numbers of masks')
    parser.add_argument('--iters', type=int, default=5, help='rounds (default: %(default)s)')
    parser.add_argument('--margin', type=float, default=0.0, help='of elastic boxes (default: %(default)s)')
    parser.add_argument(
        '--repeat', type=int, default=2, help='number of runs, of which the fastest counts (default: %(default)s)'
    )
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--threads', type=int, help='CPU threads of PyTorch')
    parser.add_argument(
        '--clock', choices=['wall', 'cpu'], default='wall', help='"cpu" excludes waiting for other processes'
    )
    parser.add_argument('--out', metavar='FILE', help='write the numbers as JSON')
    return parser.parse_args()


class Stopwatch:
    """Measures the time of named parts, with the device synchronized before and after."""

    def __init__(self, clock: str, device: str):
        self.now = time.process_time if clock == 'cpu' else time.perf_counter
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    def read(self) -> float:
        if self.device.startswith('cuda'):
            torch.cuda.synchronize()
        return self.now()

    def minimum(self, run: Callable[[], object], repeat: int) -> float:
        """Seconds of the fastest of several runs."""
        times = []
        for _ in range(repeat):
            start = self.read()
            run()
            times.append(self.read() - start)
        return min(times)

    def watch(self, owner: object, name: str) -> Callable[[], None]:
        """Measure the time spent in a function of a module or object; returns a function that undoes this."""
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            start = self.read()
            result = function(*args, **kwargs)
            self.seconds[name] += self.read() - start
            return result

        setattr(owner, name, timed)
        return lambda: setattr(owner, name, function)


@contextmanager
def watched(stopwatch: Stopwatch, refiner: SAMRefiner) -> Iterator[None]:
    """Context that measures the parts of a refiner's rounds."""
    undo = [stopwatch.watch(sam_refiner, name) for name in _PARTS]
    undo += [stopwatch.watch(refiner.backend, name) for name in ('predict', 'upscale')]
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def ellipses(count: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Masks (N, H, W) of ellipses, about a fifth as large as the image."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, *size_hw), np.uint8)
    for mask in masks:
        centre = [int(rng.uniform(0.2, 0.8) * side) for side in size_hw[::-1]]
        axes = [int(rng.uniform(0.08, 0.25) * side) for side in size_hw[::-1]]
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return masks > 0


def time_encoders(args: argparse.Namespace, image: np.ndarray, stopwatch: Stopwatch) -> tuple[dict, PromptFeatures]:
    """Seconds of one pass of each encoder, and the features of mmrefine's encoder."""
    plain = SAMBackend(args.arch, args.checkpoint, fused=False).to(args.device)
    fused = SAMBackend(args.arch, args.checkpoint).to(args.device)
    fused.load_state_dict(plain.state_dict())
    seconds = {'segment-anything': [], 'fused': [], 'fused bfloat16': []}
    for _ in range(args.repeat):  # alternately, so that changes of the machine's speed affect all
        seconds['segment-anything'].append(stopwatch.minimum(lambda: plain.encode(image), 1))
        for name, dtype in (('fused', torch.float32), ('fused bfloat16', torch.bfloat16)):
            fused.encoder_dtype = dtype
            seconds[name].append(stopwatch.minimum(lambda: fused.encode(image), 1))
    fused.encoder_dtype = torch.float32
    return {name: min(times) for name, times in seconds.items()}, fused.encode(image)


def time_rounds(
    args: argparse.Namespace, image: np.ndarray, features: PromptFeatures, count: int, stopwatch: Stopwatch
) -> dict[str, float]:
    """Seconds outside the encoder for this number of masks, in total and by parts."""
    torch.manual_seed(0)
    backend = SAMBackend(args.arch, args.checkpoint).to(args.device)
    refiner = SAMRefiner(backend, iters=args.iters, margin=args.margin).eval()
    refiner.encode = lambda image: features
    masks = ellipses(count, image.shape[:2])
    total = stopwatch.minimum(lambda: refiner.refine_batch([RefineInput(image, masks)]), args.repeat)
    stopwatch.seconds.clear()
    with watched(stopwatch, refiner):
        refiner.refine_batch([RefineInput(image, masks)])
    return {'total': total, **stopwatch.seconds}


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    image = np.random.default_rng(0).integers(0, 256, (*args.size, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 4)
    stopwatch = Stopwatch(args.clock, args.device)
    encoders, features = time_encoders(args, image, stopwatch)
    unit = encoders['segment-anything']
    print(f'one pass of the encoder of segment-anything, {args.arch}: {unit:.2f} s ({args.clock})')
    for name, seconds in encoders.items():
        print(f'  {name:18s} {seconds / unit:6.3f}')
    rounds = {}
    for count in args.masks:
        rounds[count] = time_rounds(args, image, features, count, stopwatch)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        parts = ', '.join(f'{name} {seconds / unit:.3f}' for name, seconds in rounds[count].items() if name != 'total')
        total = rounds[count]['total'] / unit
        about = f'{counted(count, "mask")}, {counted(args.iters, "round")}'
        print(f'{about}: {total:.3f} outside of the encoder ({parts}); peak {peak_mb:.0f} MB')
    if args.out:
        with whole_file(args.out) as file:
            json.dump({'settings': vars(args), 'encoders_s': encoders, 'rounds_s': rounds}, file, indent=1)


if __name__ == '__main__':
    main()
