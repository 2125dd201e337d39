"""Train a refiner: mmrefine train CONFIG.

Checkpoints, logs and the full config go to the work directory. A killed run is resumed with --resume, with the
same iteration, random draws and loss curve. Start from other weights with --cfg-options load_from=FILE, or
load_from=segrefiner_tiny for the bundled ones.
"""

from __future__ import annotations

import argparse

import torch
from mmengine.runner import Runner

from mmrefine import compat
from mmrefine.apis import find_checkpoint
from mmrefine.cli.runner_command import add_runner_options, read_config, refusals

EPILOG = """\
examples:
  mmrefine train configs/segrefiner/segrefiner_tiny_photos.py --amp
  mmrefine train configs/segrefiner/segrefiner_tiny_photos.py --resume

exit status: 0 trained; 1 the training failed; 2 it did not start: an argument is wrong, or a file is missing.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='mmrefine train',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, such as configs/segrefiner/segrefiner_tiny_photos.py')
    parser.add_argument('--resume', nargs='?', const='auto', help='resume from this checkpoint, or from the latest one')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision; default: as in the config')
    add_runner_options(parser, override='train_dataloader.batch_size=8')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    config = read_config(args)
    if args.amp:
        # mmengine's AmpOptimWrapper uses float16 with loss scaling, and supports GPUs only.
        config.optim_wrapper.type = 'AmpOptimWrapper' if torch.cuda.is_available() else 'Bf16OptimWrapper'
    if config.get('load_from'):
        config.load_from = find_checkpoint(config.load_from)
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    compat.prepare_process_group(config)
    with refusals(FileNotFoundError):
        Runner.from_cfg(config).train()
