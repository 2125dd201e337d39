"""Measure speed and memory of the bundled model, as ratios within one run on one machine.

  python tools/analysis_tools/benchmark.py             everything, about three minutes on two CPU cores
  python tools/analysis_tools/benchmark.py --only overhead batching

network   one refined mask in CPU seconds: the bundled model and that of the previous release (crop, cues,
          passes, paste); the paper's U-Net alone, one pass counted six times; CascadePSP's network alone, with
          random weights.
overhead  fraction of the time spent outside the network, for 100 masks on 640x480 images
batching  100 masks in one call of refine_batch, compared with 100 calls of refine with one mask
memory    peak memory of a job of 1,000 masks on 1,000 images, compared with one of 100 masks on 100 images
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
# The bundled model of the previous release, for comparison: a narrow U-Net without an image encoder.
BUNDLED_0_1 = {
    'type': 'SegRefiner',
    'denoiser': {
        'type': 'DenoiseUNet', 'in_channels': 6, 'model_channels': 32, 'channel_mult': (1, 2, 3, 4),
        'num_res_blocks': 1, 'attention_strides': (8,), 'patch_size': 2,
    },
    'input_size': 160,
    'margin_px': 2,
    'margin_ratio': 0.2,
    'min_area': 64,
    'cues': ({'bins': 16, 'cells': 1}, {'bins': 8, 'cells': 6}),
    'steps': (5, 3, 1),
    'antialias': True,
}  # fmt: skip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument('--threads', type=int, default=torch.get_num_threads(), help='threads of PyTorch')
    parser.add_argument('--job', nargs=2, metavar=('FOLDER', 'OUT'), help=argparse.SUPPRESS)
    return parser.parse_args()


def scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image of one ellipse, 60 to 240 px wide, and a rough mask of it."""
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
    """A list to which the duration of every pass of the refiner's network is appended, in seconds."""
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

    image, masks = scene(0)
    published = MODELS.build(Config.fromfile(find_config('segrefiner/segrefiner_lr_lvis.py')).model).eval()
    refiners = {
        'bundled model': build_refiner('segrefiner_tiny', device='cpu'),
        'bundled model of 0.1': MODELS.build(BUNDLED_0_1).eval(),
    }
    rows = [(name, refiner, lambda refiner=refiner: refiner.refine(image, masks)) for name, refiner in refiners.items()]
    inputs, t = torch.rand(1, 4, published.input_size, published.input_size), torch.tensor([5])
    one_pass = seconds_of_cpu(lambda: published.denoise_model(inputs, t), repeats=2)
    cascade = cascade_psp()
    if cascade is not None:
        crop, mask = torch.rand(1, 3, 224, 224), torch.rand(1, 1, 224, 224)
        rows.append(('CascadePSP, its three passes at 224 px', cascade, lambda: cascade(crop, mask)))
    times = {name: seconds_of_cpu(function) for name, _, function in rows}
    times['published U-Net, six passes at 256 px'] = len(published.steps) * one_pass
    models = [model for _, model, _ in rows] + [published]
    print('one mask, seconds of CPU')
    for (name, time_s), model in zip(times.items(), models, strict=True):
        size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        print(f'  {name:40} {size:6.1f} M parameters {time_s:8.3f} s, {time_s / times["bundled model"]:6.2f} times')


def cascade_psp() -> torch.nn.Module | None:
    """CascadePSP's network with random weights; None if its package is not installed."""
    try:
        from segmentation_refinement.models.psp.pspnet import RefinementModule
    except ImportError:
        print('CascadePSP is left out: pip install segmentation-refinement')
        return None
    return RefinementModule().eval()


@torch.no_grad()
def seconds_of_cpu(function: Callable[[], object], repeats: int = 5) -> float:
    """Minimum CPU time of several calls, after a warm-up call."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times[1:])


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
