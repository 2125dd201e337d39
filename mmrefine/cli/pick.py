"""Choose a refiner for given masks: mmrefine pick IMAGES MASKS [--gt FEW] --out BEST.py

Compares refiners and their main options on a sample and prints a table with 95 % intervals. The best is written as a
config for mmrefine refine --config BEST.py: among those whose gain is not significantly lower, the least harmful.

The line "routed by the gate" takes for each mask the proposal with the highest expected gain, as estimated by cross-
validation from the evidence of the gates; the upper bound takes the best by the ground truth.

Without --gt, the majority of the candidates replaces the ground truth, and coarse masks are simulated with the errors
measured against it. This shows which refiner repairs such errors, not which one is right; a few masks with ground truth
are more informative.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmrefine.cli.job_command import run
from mmrefine.cli.refine import swapped

EPILOG = """\
examples:
  mmrefine pick photos/ masks/ --out best.py
  mmrefine pick photos/ masks/ --gt few/ --refiner configs/baselines/grab-cut.py --out best.py

exit status: 0 the config is written; 2 it is not.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='mmrefine pick',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('images', metavar='IMAGES', help='as for mmrefine refine')
    parser.add_argument('masks', metavar='MASKS', help='coarse masks, as for mmrefine refine')
    parser.add_argument('--gt', metavar='MASKS', help='ground truth of some or all of them, in the same format')
    parser.add_argument(
        '--refiner',
        metavar='CONFIG[,WEIGHTS]',
        action='append',
        help='another candidate besides segrefiner_tiny; may be repeated',
    )
    parser.add_argument('--format', metavar='NAME', help='format of MASKS (default: detected); see docs/formats.md')
    parser.add_argument('--limit', metavar='N', type=int, default=60, help='number of masks (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument('--seed', type=int, default=0, help='random seed of the sample (default: %(default)s)')
    parser.add_argument('--out', metavar='BEST.py', type=Path, required=True, help='config to write')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    return run(lambda: pick(args), hint=lambda: swapped(args.images, args.masks), stopped='stopped.')


def pick(args: argparse.Namespace) -> int:
    """Compare the candidates and write the best; returns the exit status."""
    # Imported late, so that --help is fast.
    from mmrefine import compat
    from mmrefine.files.atomic import whole_file
    from mmrefine.jobs.pick import DEFAULT_CANDIDATES, as_config, is_config_of_pick
    from mmrefine.jobs.pick import pick as pick_refiner

    compat.setup()
    if os.path.lexists(args.out) and not is_config_of_pick(args.out):
        raise ValueError(f'{args.out} already exists and was not written by mmrefine pick; choose another --out.')
    others = [tuple(text.split(',', 1)) if ',' in text else text for text in args.refiner or ()]
    picked = pick_refiner(
        args.images,
        args.masks,
        args.gt,
        (*DEFAULT_CANDIDATES, *others),
        args.limit,
        args.device,
        args.seed,
        args.format,
    )
    with whole_file(args.out) as file:
        file.write(as_config(picked))
    print(f'{picked.about}:')
    print(picked.table())
    print(picked.bounds())
    print(f'best: {picked.name}; config: {args.out}')
    return 0
