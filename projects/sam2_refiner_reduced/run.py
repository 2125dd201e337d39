"""The reduced experiment of SAM2Refiner: does it refine what a small SAM 2 draws, and which of its modules does?

    python projects/sam2_refiner_reduced/run.py --out work_dirs/sam2_refiner_reduced --minutes 50 --data data/photos

Stage 1 trains a small SAM 2 from scratch on coarse ground truth. If it is good enough, stage 2 freezes it and trains
the variants of the refiner on the fine ground truth. Started again, the command goes on where it was killed. The
result is report.md in the folder --out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from reduced.base_training import train_base
from reduced.features import CachedFeatures, load_features
from reduced.pool import TRAIN_SETS, VAL_SETS, Pool, load_pool
from reduced.report import FULL, write_report
from reduced.scores import Scores, load_scores, mean_iou, save_scores, score
from reduced.training import Log, Progress
from reduced.variants import train_variants
from torch import nn

from mmrefine.files.atomic import remove_results, whole_file
from mmrefine.jobs.engine import check_choices
from mmrefine.models.sam2_refiner.base import INPUT_MULTIPLE, build_base

_TRAININGS_SHARE = 0.9  # of the time; drawing, encoding and scoring take the rest
_MAY_CHANGE = ('out', 'overwrite', 'minutes', 'base_share')
_TRAIN_SEED, _REFINER_SEED, _VAL_SEED = 1, 2, 3
_FOREVER = 10**9
_FAST_TILE_SCALES = (0.5, 0.0)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of everything that is made')
    parser.add_argument('--minutes', type=float, required=True, help='for everything, those before a kill included')
    parser.add_argument('--base-share', type=float, default=0.5, help='of the time (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='start from scratch')
    parser.add_argument('--data', type=Path, help='images prepared as configs/segrefiner/README.md says')
    parser.add_argument('--seeds', type=int, default=1, help='trainings of the variants (default: %(default)s)')
    parser.add_argument('--gate', type=float, default=0.6, help='mIoU that the base must reach (default: %(default)s)')
    parser.add_argument('--base-steps', type=int, default=_FOREVER, help='at most')
    parser.add_argument('--refiner-steps', type=int, default=_FOREVER, help='at most, for every variant and seed')
    parser.add_argument('--base-images', type=int, default=4000, help='default: %(default)s')
    parser.add_argument('--refiner-images', type=int, default=8000, help='default: %(default)s')
    parser.add_argument('--val-images', type=int, default=256, help='default: %(default)s')
    parser.add_argument('--size', type=int, default=128, help='side of the images (default: %(default)s)')
    parser.add_argument('--embed-dim', type=int, default=24, help='of the first stage (default: %(default)s)')
    parser.add_argument('--stages', type=int, nargs=4, default=[1, 2, 3, 1], help='blocks (default: %(default)s)')
    parser.add_argument('--hidden-dim', type=int, default=64, help='of the decoder (default: %(default)s)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, log: Log = print) -> None:
    args = parse_args(argv)
    if args.overwrite:
        remove_results(args.out)
    keep_settings(args)
    val = load_pool(args.out / 'val.npz', args.val_images, args.size, _VAL_SEED, args.data, VAL_SETS)
    base, base_progress = run_base(args, log)
    # A base that is trained longer, with more minutes, is another base: all that rests on it has a folder of its own.
    folder = args.out / f'base_{base_progress.step}'
    cached_val = load_features(base, val, folder / 'val_features.npz')
    base_iou = mean_iou(score(base, nn.ModuleDict(), cached_val))
    notes = [
        f'{len(val)} held-out images of {args.size} px, {"synthetic" if args.data is None else "half photographs"}.',
        f'Base: {base_progress.step} steps in {base_progress.seconds / 60:.1f} min, mIoU {100 * base_iou:.1f} over '
        f'images and prompts; {100 * args.gate:.1f} are asked for.',
    ]
    log(notes[-1])
    if base_iou < args.gate:
        notes.append('Too weak to say anything about refinement: no variant was trained. More --minutes train it on.')
        finish(args.out, '\n'.join(f'- {note}' for note in notes) + '\n', log)
        return
    runs, refiner_steps = run_variants(args, folder, base, cached_val, log)
    notes.append(f'Variants: {refiner_steps} steps each by seed, the same images and prompts in the same order.')
    finish(args.out, write_report(runs, val.sources, notes), log)


def keep_settings(args: argparse.Namespace) -> None:
    """Refuse to go on with other settings than those the folder was begun with."""
    path = args.out / 'settings.json'
    settings = {name: value for name, value in vars(args).items() if name not in _MAY_CHANGE}
    settings['data'] = None if args.data is None else str(args.data)
    if path.is_file():
        check_choices(json.loads(path.read_text(encoding='utf-8')), settings, args.out)
    else:
        with whole_file(path) as file:
            json.dump(settings, file, indent=1)


def run_base(args: argparse.Namespace, log: Log) -> tuple[nn.Module, Progress]:
    """Stage 1; the base comes back frozen."""
    pool = load_pool(args.out / 'base.npz', args.base_images, args.size, _TRAIN_SEED, args.data, TRAIN_SETS)
    torch.manual_seed(0)
    small = {'image_size': args.size, 'embed_dim': args.embed_dim, 'stages': args.stages, 'hidden_dim': args.hidden_dim}
    base = build_base('sam2.1_hiera_t', small=small)
    seconds = 60 * args.minutes * args.base_share
    return base, train_base(base, pool, args.out / 'base.pth', args.base_steps, seconds, log)


def run_variants(
    args: argparse.Namespace, folder: Path, base: nn.Module, cached_val: CachedFeatures, log: Log
) -> tuple[list[dict], list[int]]:
    """Stage 2: scores of the base and all variants for each seed, and the steps that were made."""
    pool = load_pool(args.out / 'refiner.npz', args.refiner_images, args.size, _REFINER_SEED, args.data, TRAIN_SETS)
    cached = load_features(base, pool, folder / 'refiner_features.npz')
    seconds = 60 * args.minutes * (_TRAININGS_SHARE - args.base_share) / args.seeds
    runs, steps = [], []
    for seed in range(args.seeds):
        path = folder / f'variants_{seed}.pth'
        cores, progress = train_variants(base, cached, path, args.refiner_steps, seconds, seed, log)
        scores = folder / f'scores_{seed}.json'
        if not scores.is_file():
            save_scores(scores, score(base, cores, cached_val) | score_fast_modes(base, cores, cached_val.pool, folder))
        runs.append(load_scores(scores))
        steps.append(progress.step)
    return runs, steps


def score_fast_modes(base: nn.Module, cores: nn.ModuleDict, val: Pool, folder: Path) -> Scores:
    """Scores of the whole refiner with smaller quadrants, and without any, though it was trained with whole ones."""
    scores: Scores = {}
    for tile_scale in _FAST_TILE_SCALES:
        if val.images.shape[1] * tile_scale % INPUT_MULTIPLE:
            continue  # the encoder cannot take quadrants of this size
        cached = load_features(base, val, folder / f'val_features_{tile_scale}.npz', tile_scale)
        name = f'{FULL}, tile_scale {tile_scale:g}'
        scores[name] = score(base, nn.ModuleDict({FULL: cores[FULL]}), cached)[FULL]
    return scores


def finish(out: Path, report: str, log: Log) -> None:
    with whole_file(out / 'report.md') as file:
        file.write(report)
    log(report)


if __name__ == '__main__':
    torch.set_num_threads(1)
    main()
