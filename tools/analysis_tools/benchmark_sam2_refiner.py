"""Measure the cost of SAM2Refiner on an image, in passes of SAM 2's image encoder.

All times are of one run on one machine: a pass of the encoder, the image with its quadrants, Localization Augment, and
a click on one and on several objects. Weights are random unless --checkpoint is given: speed does not depend on them.
Localization Augment and the first click are the cost besides the five passes of the encoder.

    tools/analysis_tools/benchmark_sam2_refiner.py --config sam2.1_hiera_b+ --objects 1 4
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np
import torch

from mmrefine.files.atomic import whole_file
from mmrefine.models.sam2_refiner import SAM2Refiner, SAM2RefinerPredictor
from mmrefine.structures import ObjectPrompt


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default='sam2.1_hiera_b+', help='of the sam2 package (default: %(default)s)')
    parser.add_argument('--checkpoint', help='path or URL of its weights')
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 4], help='numbers of objects per click')
    parser.add_argument('--tile-scale', type=float, default=1.0, help='1, 0.5 or 0 (default: %(default)s)')
    parser.add_argument('--tile-chunk', type=int, default=1, help='quadrants encoded together (default: %(default)s)')
    parser.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'float16'])
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
    """Measures the minimum time of several runs, with the device synchronized before and after."""

    def __init__(self, clock: str, device: str, repeat: int):
        self.now = time.process_time if clock == 'cpu' else time.perf_counter
        self.device, self.repeat = device, repeat

    def read(self) -> float:
        if self.device.startswith('cuda'):
            torch.cuda.synchronize()
        return self.now()

    def minimum(self, run: Callable[[], object]) -> float:
        times = []
        for _ in range(self.repeat):
            start = self.read()
            run()
            times.append(self.read() - start)
        return min(times)


def clicks(count: int, size_hw: tuple[int, int]) -> list[ObjectPrompt]:
    """One positive click per object."""
    rng = np.random.default_rng(0)
    return [ObjectPrompt.of(rng.uniform(0, 1, (1, 2)) * size_hw[::-1], [1]) for _ in range(count)]


@torch.no_grad()
def measure(predictor: SAM2RefinerPredictor, image: np.ndarray, objects: list[int], stopwatch: Stopwatch) -> dict:
    """Seconds by name, and the number of images that the encoder got."""
    model, seconds, seen = predictor.model, {}, []
    handle = model.base.image_encoder.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    pixels = torch.zeros(1, 3, *(model.input_size,) * 2, device=predictor.device)
    with predictor._autocast():
        seconds['one pass'] = stopwatch.minimum(lambda: model.base.image_encoder(pixels))
    seen.clear()
    seconds['set_image'] = stopwatch.minimum(lambda: predictor.set_image(image))
    pictures = {'set_image': sum(seen) / stopwatch.repeat}
    if predictor._plain.local is not None:
        with predictor._autocast():
            seconds['localization augment'] = stopwatch.minimum(lambda: model.localize(predictor._plain))
    for count in objects:
        seen.clear()
        prompts = clicks(count, image.shape[:2])
        seconds[f'click, {count} objects'] = stopwatch.minimum(lambda p=prompts: predictor.predict_objects(p))
        seconds[f'click without refinement, {count} objects'] = stopwatch.minimum(
            lambda p=prompts: predictor.predict_objects(p, refine=False)
        )
        pictures[f'click, {count} objects'] = sum(seen)
    handle.remove()
    return {'seconds': seconds, 'pictures': pictures}


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    base = {'config': args.config, 'checkpoint': args.checkpoint}
    model = SAM2Refiner(base, tile_scale=args.tile_scale, tile_chunk=args.tile_chunk).to(args.device)
    predictor = SAM2RefinerPredictor(model, args.precision)
    size_hw = (model.input_size * 3 // 4, model.input_size)
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    result = measure(predictor, image, args.objects, Stopwatch(args.clock, args.device, args.repeat))
    unit = result['seconds']['one pass']
    print(f'one pass of the encoder of {args.config}, {args.precision}: {unit:.2f} s ({args.clock})')
    for name, value in result['seconds'].items():
        pictures = result['pictures'].get(name)
        print(f'  {name:40s} {value / unit:7.3f}' + ('' if pictures is None else f'   {pictures:.0f} pictures encoded'))
    outside = result['seconds'].get('localization augment', 0) + result['seconds'][f'click, {args.objects[0]} objects']
    result['outside share'] = outside / (result['pictures']['set_image'] * unit)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'outside the passes, as a share of them: {100 * result["outside share"]:.1f} %; peak {peak_mb:.0f} MB')
    if args.out:
        with whole_file(args.out) as file:
            json.dump({'settings': vars(args), **result}, file, indent=1)


if __name__ == '__main__':
    main()
