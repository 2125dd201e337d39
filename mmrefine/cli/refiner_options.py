"""Options of the refiner that the commands ``refine`` and ``video`` share."""

from __future__ import annotations

import argparse
from typing import Any

_GATE_HELP = 'gate settings to change, such as min_gain=0.02 min_score=none area_ratio=0.4,2.5; see docs/gate.md'


def add_refiner_options(parser: argparse.ArgumentParser) -> Any:
    """Add a group of options for :func:`refiner_options` to a parser, and return it."""
    group = parser.add_argument_group('refiner')
    group.add_argument('--model', default='segrefiner_tiny', help='name of a bundled model (default: %(default)s)')
    group.add_argument('--config', help='config of another refiner, instead of --model')
    group.add_argument('--checkpoint', help='weights for --config or --model')
    group.add_argument('--device', help='such as cpu or cuda:1; default: a GPU where there is one')
    group.add_argument('--gate', metavar='NAME=NUMBER', nargs='+', default=(), help=_GATE_HELP)
    group.add_argument('--no-gate', action='store_true', help='accept every proposal, also those that look harmful')
    group.add_argument('--seed', type=int, default=0, help='of the random draws (default: %(default)s)')
    return group


def refiner_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of :func:`~mmrefine.jobs.refine_dataset` and :func:`~mmrefine.jobs.refine_video`.

    Raises:
        ValueError: an invalid setting of the gate.
    """
    from mmrefine.core.gate import parse_gate

    return {
        'model': args.config or args.model,
        'checkpoint': args.checkpoint,
        'device': args.device,
        'gate': not args.no_gate and (parse_gate(args.gate) or True),
        'seed': args.seed,
    }
