"""What commands share: options of the refiner and of the job, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

MAX_PROBLEMS = 20

GATE_HELP = 'gate settings to change, such as min_gain=0.02 min_score=none area_ratio=0.4,2.5; see docs/gate.md'
NO_GATE_HELP = 'accept every proposal, even if it looks harmful'
_OVERWRITE_HELP = 'start from scratch: delete all files of an earlier job in DIR'
_LAUNCHER_HELP = 'what started this process and others like it, or ray (default: none, a single process)'
_ACTORS_HELP = 'number of Ray actors (default: one per GPU of the cluster, or per CPU core if there are none)'


def add_refiner_options(parser: argparse.ArgumentParser) -> Any:
    """Add a group of options of the refiner to a parser, and return it."""
    group = parser.add_argument_group('refiner')
    group.add_argument('--model', default='segrefiner_tiny', help='name of a bundled model (default: %(default)s)')
    group.add_argument('--config', help='config of another refiner, instead of --model')
    group.add_argument('--checkpoint', help='weights for --config or --model (default: those that it names)')
    group.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    gate = group.add_mutually_exclusive_group()
    gate.add_argument('--gate', metavar='NAME=NUMBER', nargs='+', default=(), help=GATE_HELP)
    gate.add_argument('--no-gate', action='store_true', help=NO_GATE_HELP)
    group.add_argument('--seed', type=int, default=0, help='random seed (default: %(default)s)')
    return group


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add a group of options of the job to a parser."""
    group = parser.add_argument_group('job')
    group.add_argument('--overwrite', action='store_true', help=_OVERWRITE_HELP)
    group.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi', 'ray'), default='none', help=_LAUNCHER_HELP
    )
    group.add_argument('--actors', metavar='N', type=int, help=_ACTORS_HELP)
    group.add_argument('--debug', action='store_true', help='print tracebacks of failures')


def common_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of :func:`~mmrefine.jobs.refine_dataset` and :func:`~mmrefine.jobs.refine_video`.

    Raises:
        ValueError: a gate setting is invalid.
    """
    from mmrefine.core.gate import parse_gate

    return {
        'model': args.config or args.model,
        'checkpoint': args.checkpoint,
        'device': args.device,
        'gate': not args.no_gate and (parse_gate(args.gate) or True),
        'seed': args.seed,
        'overwrite': args.overwrite,
        'launcher': args.launcher,
        'actors': args.actors,
        'debug': args.debug,
    }


def run(
    command: Callable[[], int],
    debug: bool = False,
    hint: Callable[[], str] = str,
    stopped: str = 'stopped; run the same command to resume.',
) -> int:
    """Run a command and return its exit status; an exception becomes one sentence and status 2, Ctrl-C status 130.

    Args:
        command: returns the exit status.
        debug: whether exceptions are raised.
        hint: a sentence to add to that of an exception.
        stopped: what is said after Ctrl-C.
    """
    from mmrefine.files.names import printable
    from mmrefine.jobs import error_text

    if not debug:
        silence_decoders()
    try:
        return command()
    except Exception as error:
        if debug:
            raise
        print(printable(f'error: {error_text(error)}{hint()}'), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130


def silence_decoders() -> None:
    """Keep FFmpeg, OpenCV and Pillow from commenting on damaged files: what is wrong is said once, in one sentence."""
    import cv2

    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.filterwarnings('ignore', module='PIL')
