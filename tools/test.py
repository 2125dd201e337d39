"""Measure a refiner, or another OpenMMLab model whose predictions are refined: tools/test.py CONFIG [CHECKPOINT].

For a refiner it prints IoU, boundary IoU and mBA of coarse and refined masks side by side, with the mean gain and its
95 % interval, and the shares of masks that were harmed, won, and kept by the gate, by data source.
The bundled model's table: tools/test.py configs/segrefiner/segrefiner_tiny_photos.py segrefiner_tiny
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmrefine import compat
from mmrefine.apis import find_checkpoint
from mmrefine.core.gate import parse_gate


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file with test_dataloader and test_evaluator')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; without one the model is as initialised')
    parser.add_argument('--work-dir', help='where logs go; default: work_dirs/<name of the config>')
    parser.add_argument('--per-mask', help='write the numbers of every mask to this .csv or .json file')
    parser.add_argument('--gate', metavar='NAME=NUMBER', nargs='+', default=(), help='settings of the gate to change')
    parser.add_argument('--no-gate', action='store_true', help='take every refined mask, also those the gate refuses')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings, such as test_dataloader.batch_size=8'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    compat.setup()
    config = Config.fromfile(args.config)
    config.launcher = args.launcher
    if args.cfg_options:
        config.merge_from_dict(args.cfg_options)
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    config.load_from = find_checkpoint(args.checkpoint) if args.checkpoint else None
    if args.per_mask:
        metrics = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
        for metric in metrics:
            if metric['type'].endswith('RefineMetric'):
                metric['per_mask_file'] = args.per_mask
    if args.no_gate:
        config.model.gate = None
    elif args.gate:
        config.model.gate = {**(config.model.get('gate') or {}), **parse_gate(args.gate)}
    # Testing needs nothing of training, such as its data.
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(key, None)
    hooks = config.get('custom_hooks') or []
    config.custom_hooks = [hook for hook in hooks if str(hook['type']).endswith('RefineHook')]
    compat.prepare_cpu_distributed(config)
    Runner.from_cfg(config).test()


if __name__ == '__main__':
    main()
