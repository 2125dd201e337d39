"""Common code of the commands ``train`` and ``test``: options and config of an mmengine Runner."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config, DictAction

from mmrefine import compat
from mmrefine.models import model_zoo
from mmrefine.utils import find_config


def add_runner_options(parser: argparse.ArgumentParser, override: str) -> None:
    """Add options of mmengine's Runner to a parser; ``override`` is an example of a setting to override."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<name of the config>)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help=f'override settings, such as {override}')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started this process and others like it (default: none, a single process)',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def read_config(args: argparse.Namespace) -> Config:
    """The config ``args.config`` with the options of :func:`add_runner_options`.

    Raises:
        SystemExit: it cannot be read.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    compat.setup()
    with refusals(OSError, ValueError):
        config = model_zoo.read_config(find_config(args.config))
    config.launcher = args.launcher
    if args.cfg_options:
        config.merge_from_dict(args.cfg_options)
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    return config


@contextmanager
def refusals(*kinds: type[Exception]) -> Iterator[None]:
    """End with one sentence and exit status 2 where the user gave something wrong, such as a file that is not there."""
    try:
        yield
    except kinds as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(2) from error
