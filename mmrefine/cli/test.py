"""Evaluate a refiner, or another OpenMMLab model whose predictions are refined: mmrefine test CONFIG [CHECKPOINT].

For a refiner it prints IoU, boundary IoU and mBA of coarse and refined masks side by side, with the mean gain and its
95 % interval, and the harm, win and kept rates of masks, by data source.
"""

from __future__ import annotations

import argparse

from mmengine.config import Config
from mmengine.runner import Runner

from mmrefine import compat
from mmrefine.apis import find_checkpoint
from mmrefine.cli.job_command import GATE_HELP, NO_GATE_HELP
from mmrefine.cli.runner_command import add_runner_options, read_config, refusals
from mmrefine.core.gate import parse_gate
from mmrefine.models.refiners import BaseRefiner
from mmrefine.registry import MODELS

EPILOG = """\
examples:
  mmrefine test configs/segrefiner/segrefiner_tiny_photos.py segrefiner_tiny --per-mask masks.csv
  mmrefine test configs/segrefiner/segrefiner_tiny_photos.py segrefiner_tiny --no-gate

exit status: 0 tested; 1 the test failed; 2 it did not start: an argument is wrong, or a file is missing.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='mmrefine test',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file with test_dataloader and test_evaluator')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; without one the weights are random')
    parser.add_argument('--per-mask', metavar='FILE', help='write the metrics of every mask to this .csv or .json file')
    parser.add_argument('--source', metavar='NAME', nargs='+', help='evaluate only these data sources of the config')
    gate = parser.add_mutually_exclusive_group()
    gate.add_argument('--gate', metavar='NAME=NUMBER', nargs='+', default=(), help=GATE_HELP)
    gate.add_argument('--no-gate', action='store_true', help=NO_GATE_HELP)
    add_runner_options(parser, override='test_dataloader.batch_size=8')
    return parser.parse_args(argv)


def keep_sources(config: Config, names: list[str]) -> None:
    """Keep only the test datasets of these sources.

    Raises:
        ValueError: the config has no such source.
    """
    datasets = config.test_dataloader.dataset.get('datasets') or []
    known = list(dict.fromkeys(dataset.source for dataset in datasets if dataset.get('source')))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f'--source: {config.filename} has the sources {known}, got {unknown}.')
    config.test_dataloader.dataset.datasets = [dataset for dataset in datasets if dataset.get('source') in names]


def change_gate(config: Config, settings: dict | None) -> None:
    """Change gate settings of every refiner in a config; None removes the gates.

    Raises:
        ValueError: the config has no refiner.
    """
    hooks = [hook for hook in config.get('custom_hooks') or [] if _is_a(hook, 'RefineHook')]
    if not hooks and not _is_a(config.model, 'RefinedModel'):
        kind = config.model.type
        model_class = MODELS.get(kind) if isinstance(kind, str) else kind
        if not (isinstance(model_class, type) and issubclass(model_class, BaseRefiner)):
            raise ValueError(f'--gate and --no-gate: {config.filename} has neither a refiner nor RefineHook.')
        config.model.gate = None if settings is None else {**(config.model.get('gate') or {}), **settings}
        return
    for owner in hooks or [config.model.refine]:
        before = owner.get('gate')
        owner['gate'] = False if settings is None else {**(before if isinstance(before, dict) else {}), **settings}


def write_per_mask(config: Config, path: str) -> None:
    """Configure per-mask output of RefineMetric, or of predictions matched with the ground truth.

    Raises:
        ValueError: the config has neither RefineMetric nor RefineHook.
    """
    evaluator = config.test_evaluator
    metrics = evaluator if isinstance(evaluator, list) else [evaluator]
    of_refiners = [metric for metric in metrics if _is_a(metric, 'RefineMetric')]
    for metric in of_refiners:
        metric['per_mask_file'] = path
    if of_refiners:
        return
    if not any(_is_a(hook, 'RefineHook') for hook in config.get('custom_hooks') or []):
        raise ValueError(f'--per-mask: {config.filename} has neither RefineMetric nor RefineHook.')
    if not any(_is_a(evaluator, name) for name in ('RefineEvaluator', 'MatchedMaskEvaluator')):
        evaluator = {'metrics': metrics}
    matched = {**evaluator.get('matched', {}), 'per_mask_file': path}
    config.test_evaluator = {**evaluator, 'type': 'mmrefine.MatchedMaskEvaluator', 'matched': matched}


def _is_a(config: object, name: str) -> bool:
    """Whether the ``type`` of a config is this class, given as a class or by name with or without a scope."""
    kind = config.get('type', '') if isinstance(config, dict) else ''
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2] == name


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    config = read_config(args)
    config.load_from = find_checkpoint(args.checkpoint) if args.checkpoint else None
    with refusals(ValueError):
        if args.source:
            keep_sources(config, args.source)
        if args.per_mask:
            write_per_mask(config, args.per_mask)
        if args.no_gate or args.gate:
            change_gate(config, None if args.no_gate else parse_gate(args.gate))
    # Testing must not need the training data.
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(key, None)
    compat.prepare_process_group(config)
    with refusals(FileNotFoundError):
        Runner.from_cfg(config).test()
