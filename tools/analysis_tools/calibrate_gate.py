"""Calibrate the gate of a refiner on masks with ground truth, by cross-validation; about 50 masks are enough.

  tools/analysis_tools/calibrate_gate.py --config CONFIG [--checkpoint WEIGHTS] --out GATE.py
      the masks of the config's test_dataloader
  tools/analysis_tools/calibrate_gate.py IMAGES COARSE GT --config CONFIG --out GATE.py
      masks in any format that tools/refine.py reads, with their ground truth
  tools/analysis_tools/calibrate_gate.py --per-mask MASKS.csv --config CONFIG --out GATE.py
      metrics of single masks, as written by tools/test.py CONFIG WEIGHTS --no-gate --per-mask MASKS.csv

By default the gate leaves at most half of the ungated harm and loses at most a tenth of the gain, in
every group of masks (--group-by). GATE.py is a config that inherits CONFIG; the gate is also printed. --plot draws
the risk-coverage curves.

--fit-on FILE takes the metrics of further masks, such as those of training images: the logistic model is fitted to
these, and the masks above only determine the threshold.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine import compat
from mmrefine.evaluation.gate_calibration import Calibration, GateData, OperatingPoint, calibrate
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', nargs='*', metavar='PATH', help='IMAGES COARSE GT')
    parser.add_argument('--config', help='config of the refiner, or the name of a bundled model')
    parser.add_argument('--checkpoint', help='its weights')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    parser.add_argument('--per-mask', type=Path, metavar='FILE', help='.csv or .json; skips refinement')
    parser.add_argument('--fit-on', type=Path, metavar='FILE', help='.csv or .json of other masks, to fit the model to')
    parser.add_argument('--features', nargs='+', metavar='NAME', help='such as score expected_gain; default: all')
    parser.add_argument('--limit', type=int, metavar='N', help='refine about N masks of the data at most')
    parser.add_argument('--group-by', metavar='COLUMN', help="column of the groups; default: 'kind', if present")
    parser.add_argument('--max-harm', type=float, default=0.5, help='part of the ungated harm (default: %(default)s)')
    parser.add_argument('--max-gain-lost', type=float, default=0.1, help='part of the gain (default: %(default)s)')
    parser.add_argument('--folds', type=int, default=5, help='folds of the cross-validation (default: %(default)s)')
    parser.add_argument(
        '--by-folder',
        action='store_true',
        help='keep the images of one folder in one fold, to estimate the quality on new kinds of images',
    )
    parser.add_argument('--out', type=Path, metavar='GATE.py', help='config to write')
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='plot of the risk-coverage curves to write')
    args = parser.parse_args()
    if bool(args.per_mask) == bool(args.data) and (args.per_mask or not args.config):
        parser.error('give either IMAGES COARSE GT, or --config with a test_dataloader, or --per-mask.')
    if args.data and (len(args.data) != 3 or not args.config):
        parser.error(f'expected IMAGES COARSE GT and --config, got {args.data}.')
    if args.out and not args.config:
        parser.error('--out writes a config that inherits --config, which is missing.')
    return args


def read_records(path: Path) -> list[dict]:
    text = path.read_text(encoding='utf-8')
    return json.loads(text) if path.suffix == '.json' else list(csv.DictReader(text.splitlines()))


def refine(args: argparse.Namespace) -> list[dict]:
    """Refine the labelled masks without a gate."""
    from mmrefine.jobs.comparison import measure_refiner
    from mmrefine.jobs.labelled import labelled_images
    from mmrefine.models.model_zoo import build_refiner

    compat.setup()
    refiner = build_refiner(args.config, args.checkpoint, args.device)
    return measure_refiner(refiner, labelled_images(args.data or [args.config], args.limit))['']


def format_table(result: Calibration) -> str:
    """Table of each group without the gate, and with it on held-out masks."""
    table = Table(box=box.MARKDOWN)
    table.add_column('group')
    for title in ('gain', 'harm %', 'win %', 'gated: gain', 'harm %', 'win %', 'kept %'):
        table.add_column(title, justify='right')
    for group, gated in result.held_out.items():
        free = result.curves[group][0]
        table.add_row(group, *_cells(free), *_cells(gated), f'{100 * (1 - gated.taken):.1f}')
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return '\n'.join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def _cells(point: OperatingPoint) -> list[str]:
    return [f'{100 * point.gain:+.2f}', f'{100 * point.harm:.1f}', f'{100 * point.win:.1f}']


def draw(result: Calibration, path: Path) -> None:
    """Plot harm and gain over the fraction of accepted proposals, for each group, with the chosen point."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for group, curve in result.curves.items():
        chosen = min(curve, key=lambda point: abs(point.threshold - result.gate.min_probability))
        for axis, name, title in zip(axes, ('harm', 'gain'), ('masks harmed, %', 'mean IoU gain, points'), strict=True):
            taken = [100 * point.taken for point in curve]
            [line] = axis.plot(taken, [100 * getattr(point, name) for point in curve], label=group)
            axis.plot(100 * chosen.taken, 100 * getattr(chosen, name), 'o', color=line.get_color())
            axis.set(xlabel='proposals taken, %', ylabel=title)
            axis.grid(alpha=0.3)
    axes[0].legend(title='cross-validated; dot: chosen')
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_config(result: Calibration, base: str, checkpoint: str | None, path: Path) -> None:
    """Write a config that inherits another one, with its weights, and has this gate."""
    from mmengine.config import Config

    from mmrefine.files.atomic import whole_file
    from mmrefine.models.model_zoo import BUNDLED_MODELS
    from mmrefine.utils import find_config

    bundled = BUNDLED_MODELS.get(base)
    parent = Path(find_config(bundled.config if bundled else base)).resolve()
    with whole_file(path) as file:
        file.write(f'# Gate by tools/analysis_tools/calibrate_gate.py.\n_base_ = {str(parent)!r}\n\n')
        if checkpoint or bundled:
            file.write(f'load_from = {os.path.abspath(checkpoint) if checkpoint else base!r}\n\n')
        instead = '    _delete_=True,\n' if 'gate' in Config.fromfile(parent).model else ''
        file.write(f'model = dict(gate=dict(\n{instead}{gate_lines(result)}))\n')


def gate_lines(result: Calibration) -> str:
    gate = result.gate
    weights = ', '.join(f'{name}={weight}' for name, weight in gate.weights.items())
    return f'    weights=dict({weights}),\n    bias={gate.bias},\n    min_probability={gate.min_probability},\n'


def main() -> None:
    args = parse_args()
    try:
        records = read_records(args.per_mask) if args.per_mask else refine(args)
        data = GateData.from_records(records, args.group_by, args.by_folder, args.features)
        fit_on = (
            GateData.from_records(read_records(args.fit_on), args.group_by, features=args.features)
            if args.fit_on
            else None
        )
        result = calibrate(data, args.max_harm, args.max_gain_lost, args.folds, fit_on=fit_on)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    groups = counted(len(set(data.images.tolist())), 'folder' if args.by_folder else 'image')
    print(f'{counted(len(data), "mask")} of {groups}, cross-validated in {args.folds} parts:')
    if fit_on is not None:
        fitted = counted(len(fit_on), 'mask')
        print(f'(the threshold alone; the model was fitted to the {fitted} of {args.fit_on})')
    print(format_table(result))
    if not result.feasible:
        print(
            'No threshold reaches the goal in every group; this one is closest. Give more masks, or another --max-harm.'
        )
    print(f'gate=dict(\n{gate_lines(result)})')
    if args.out:
        write_config(result, args.config, args.checkpoint, args.out)
        print(f'config: {args.out}')
    if args.plot:
        draw(result, args.plot)
        print(f'curves: {args.plot}')


if __name__ == '__main__':
    main()
