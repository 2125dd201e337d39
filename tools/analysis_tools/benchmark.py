"""Speed and memory of the bundled model, as ratios within one run on one machine.

  python tools/analysis_tools/benchmark.py             everything, about three minutes on two CPU cores
  python tools/analysis_tools/benchmark.py --only overhead batching

network   one refined mask: the bundled model as it is (crop, cues, three passes, paste) against the six passes of the
          paper's full-size U-Net (118.6 M parameters) alone; a single pass of it is timed and counted six times.
overhead  the share of refining 100 masks on 640x480 images that is spent outside the network
batching  100 masks through one refine_batch call against 100 refine calls of one mask
memory    peak memory of a job over 1,000 masks on 1,000 images against one over 100 masks on 100 images
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from mmrefine.models.model_zoo import build_refiner
from mmrefine.models.refiners import RefineInput, SegRefiner
from mmrefine.registry import MODELS
from mmrefine.utils import find_config

SIZE_HW = (480, 640)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument('--threads', type=int, default=torch.get_num_threads(), help='threads of PyTorch')
    parser.add_argument('--job', nargs=2, metavar=('FOLDER', 'OUT'), help=argparse.SUPPRESS)
    return parser.parse_args()


def scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy photograph of one ellipse, 60 to 240 px wide, and a rough mask of it."""
    rng = np.random.default_rng(index)
    mask = np.zeros(SIZE_HW, np.uint8)
    centre = (int(rng.integers(140, 500)), int(rng.integers(140, 340)))
    axes = (int(rng.integers(30, 120)), int(rng.integers(30, 120)))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    image = np.where(mask[..., None] > 0, rng.integers(0, 256, 3), rng.integers(0, 256, 3))
    image = np.clip(image + rng.normal(0, 20, (*SIZE_HW, 3)), 0, 255).astype(np.uint8)
    return image, np.roll(mask, 8, axis=1).astype(bool)[None]


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def time_inside(refiner: SegRefiner) -> list[float]:
    """A list that collects the seconds of every pass of the refiner's network from now on."""
    passes: list[float] = []
    forward = refiner.denoise_model.forward

    def timed(*args: torch.Tensor) -> torch.Tensor:
        start = time.perf_counter()
        result = forward(*args)
        passes.append(time.perf_counter() - start)
        return result

    refiner.denoise_model.forward = timed
    return passes


def compare_networks() -> None:
    from mmengine.config import Config

    tiny = build_refiner('segrefiner_tiny', device='cpu')
    full = MODELS.build(Config.fromfile(find_config('segrefiner/segrefiner_lr_lvis.py')).model).eval()
    image, masks = scene(0)
    steps = len(full.steps)
    with torch.no_grad():
        inputs, t = torch.rand(1, 4, full.input_size, full.input_size), torch.tensor([5])
        full_s = steps * min(seconds(lambda: full.denoise_model(inputs, t)) for _ in range(2))
    tiny.refine(image, masks)
    tiny_s = float(np.median([seconds(lambda: tiny.refine(image, masks)) for _ in range(5)]))
    sizes = [sum(parameter.numel() for parameter in model.parameters()) / 1e6 for model in (tiny, full)]
    print(f'one mask: bundled model ({sizes[0]:.1f} M) {tiny_s:.3f} s, full-size ({sizes[1]:.1f} M) {full_s:.1f} s')
    print(f'  ratio full-size / bundled: {full_s / tiny_s:.0f}')


def measure_overhead() -> None:
    refiner = build_refiner('segrefiner_tiny', device='cpu')
    inputs = [RefineInput(*scene(index)) for index in range(100)]
    refiner.refine_batch(inputs[:8])
    passes = time_inside(refiner)
    total_s = seconds(lambda: refiner.refine_batch(inputs))
    print(f'100 masks on 640x480: {total_s:.2f} s, {sum(passes):.2f} s of it in the network')
    print(f'  share outside the network: {1 - sum(passes) / total_s:.1%}')


def compare_batching() -> None:
    refiner = build_refiner('segrefiner_tiny', device='cpu')
    inputs = [RefineInput(*scene(index)) for index in range(100)]
    refiner.refine_batch(inputs[:8])
    together_s = seconds(lambda: refiner.refine_batch(inputs))
    alone_s = seconds(lambda: [refiner.refine_batch([item]) for item in inputs])
    print(f'100 masks: together {together_s:.2f} s, one by one {alone_s:.2f} s')
    print(f'  ratio one by one / together: {alone_s / together_s:.2f}')


def compare_memory() -> None:
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (100, 1000):
            root = Path(folder) / str(count)
            for kind in ('images', 'masks'):
                (root / kind).mkdir(parents=True)
            for index in range(count):
                image, masks = scene(index)
                cv2.imwrite(str(root / 'images' / f'{index:04}.jpg'), image[..., ::-1])
                cv2.imwrite(str(root / 'masks' / f'{index:04}.png'), masks[0].astype(np.uint8) * 255)
            job = [sys.executable, __file__, '--job', str(root), str(root / 'out')]
            peaks[count] = float(subprocess.run(job, check=True, capture_output=True, text=True).stdout.split()[-1])
    print(f'peak memory of a job: {peaks[100]:.0f} MB with 100 masks, {peaks[1000]:.0f} MB with 1,000')
    print(f'  ratio 1,000 / 100: {peaks[1000] / peaks[100]:.3f}')


def run_job(folder: Path, out: Path) -> None:
    """One job in this process; prints its peak memory in MB."""
    from mmrefine.jobs import refine_dataset

    refine_dataset(folder / 'images', folder / 'masks', out, progress=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


BENCHMARKS: dict[str, Callable[[], None]] = {
    'network': compare_networks,
    'overhead': measure_overhead,
    'batching': compare_batching,
    'memory': compare_memory,
}


def main() -> None:
    args = parse_args()
    if args.job:
        run_job(*map(Path, args.job))
        return
    torch.set_num_threads(args.threads)
    print(f'torch {torch.__version__}, {args.threads} threads')
    for name in args.only:
        BENCHMARKS[name]()


if __name__ == '__main__':
    main()
