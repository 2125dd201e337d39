"""Compare refiners on masks with ground truth: gain, harm, time and memory.

  tools/analysis_tools/compare_refiners.py
      the bundled model and the baselines without weights, on the validation data of the bundled model
  tools/analysis_tools/compare_refiners.py CONFIG --refiner segrefiner_tiny baselines/cascade-psp.py=model
      on the masks of a config's test_dataloader; NAME=WEIGHTS sets weights
  tools/analysis_tools/compare_refiners.py DATA_ROOT
      on DATA_ROOT/{images,masks,coarse}
  tools/analysis_tools/compare_refiners.py IMAGES COARSE GT
      on masks in any format that tools/refine.py reads

Real and simulated masks have separate tables. Gains are in points, with 95 % intervals
of a bootstrap over images; "over NAME" compares the IoU gain with the first refiner's on the same masks. A refiner
with a gate has a second line without it. Every refiner runs in its own process; memory is the peak while refining
minus the memory before, on the GPU if it runs there. Progress goes to standard error; --out is written
after each refiner.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from mmrefine.files.atomic import whole_file
from mmrefine.jobs.comparison import METRIC_NAMES, gain_difference, measure_refiner, summarize_records
from mmrefine.utils import counted

DATA = 'segrefiner/segrefiner_tiny_photos.py'
REFINERS = ['segrefiner_tiny', 'baselines/dense-crf.py', 'baselines/guided-filter.py', 'baselines/grab-cut.py']
_STATUS, _CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', nargs='*', help='default: %(default)s', default=[DATA])
    parser.add_argument('--refiner', nargs='+', default=REFINERS, metavar='NAME[=WEIGHTS]')
    parser.add_argument('--limit', type=int, metavar='N', help='use about N masks, of random images')
    parser.add_argument('--out', type=Path, metavar='TABLES.md', help='file for the tables')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    args = parser.parse_args()
    if len(args.data) not in (1, 3):
        parser.error(f'expected a config, a folder, or IMAGES COARSE GT, got {args.data}.')
    if len(set(args.refiner)) < len(args.refiner):
        parser.error(f'refiners must be unique, got {args.refiner}.')
    return args


def data_paths(data: Sequence[str]) -> list[str]:
    """Arguments of :func:`mmrefine.jobs.labelled.labelled_images`."""
    from mmrefine.utils import find_config

    if len(data) == 3:
        return list(data)
    root = Path(data[0])
    if not root.is_dir():
        return [str(find_config(root))]
    folders = [root / name for name in ('images', 'coarse', 'masks')]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise FileNotFoundError(f'{root} must hold the folders images, masks and coarse; missing: {missing}.')
    return list(map(str, folders))


def measure(data: Sequence[str], limit: int | None, device: str | None, refiner: str) -> tuple[dict, float]:
    """Records per gate, see :func:`~mmrefine.jobs.comparison.measure_refiner`, and the memory in MB."""
    from mmrefine import compat
    from mmrefine.jobs.labelled import open_labelled
    from mmrefine.models.model_zoo import build_refiner

    compat.setup()
    count, images = open_labelled(data, limit)
    name, _, weights = refiner.partition('=')
    built = build_refiner(name, weights or None, device)
    title = Path(name).stem
    gates = {title: built.gate}
    if built.gate is not None:
        gates[f'{title}, no gate'] = None
    first = next(images)
    built.with_gate(False).refine(first.image, first.coarse[:1])  # warm-up, which is not timed
    before_mb = start_memory(built.device)
    images = tqdm(chain([first], images), title, total=None if limit else count, unit='image', disable=None)
    records = measure_refiner(built, images, gates)
    return records, peak_memory(built.device) - before_mb


def start_memory(device: torch.device) -> float:
    """MB in use; peaks are counted from now on. NaN if unknown."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    try:
        _CLEAR.write_text('5')  # Linux: reset the peak
    except OSError:
        return float('nan')
    return _status_mb('VmRSS')


def peak_memory(device: torch.device) -> float:
    """Maximum memory in MB since :func:`start_memory`."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _status_mb('VmHWM') if _STATUS.exists() else float('nan')


def _status_mb(field: str) -> float:
    lines = dict(line.split(':', 1) for line in _STATUS.read_text().splitlines())
    return float(lines[field].split()[0]) / 1024


def format_tables(records: dict[str, list[dict]], memory_mb: dict[str, float]) -> str:
    """A table in Markdown for each kind of masks: the coarse masks, then a line per refiner and gate."""
    console = Console(width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    kinds = sorted({record['kind'] for own in records.values() for record in own})
    with console.capture() as captured:
        for kind in kinds:
            console.print(_table({name: [r for r in own if r['kind'] == kind] for name, own in records.items()},
                                 memory_mb, kind))  # fmt: skip
    return '\n'.join(line.rstrip() for line in captured.get().splitlines())


def _table(records: dict[str, list[dict]], memory_mb: dict[str, float], kind: str) -> Table:
    first, reference = next(iter(records.items()))
    table = Table(box=box.MARKDOWN)
    table.add_column(f'{kind}, {counted(len(reference), "mask")}')
    titles = ('IoU', 'gain', f'over {first}', 'boundary IoU', 'gain', 'harm %', 'win %', 'kept %', 'ms/mask', 'MB')
    for title in titles:
        table.add_column(title, justify='right')
    coarse = {measure: np.nanmean([record[f'coarse_{measure}'] for record in reference]) for measure in METRIC_NAMES}
    table.add_row('coarse', f'{100 * coarse["iou"]:.1f}', '', '', f'{100 * coarse["boundary_iou"]:.1f}')
    for name, own in records.items():
        scores = summarize_records(own)
        iou, boundary = (
            (
                f'{100 * scores[f"refined/{measure}"]:.1f}',
                '{:+.1f} [{:+.1f}, {:+.1f}]'.format(
                    *(100 * scores[f'{key}/{measure}'] for key in ('gain', 'gain_low', 'gain_high'))
                ),
            )
            for measure in METRIC_NAMES
        )
        over = '' if name == first else '[{:+.1f}, {:+.1f}]'.format(*(100 * e for e in gain_difference(own, reference)))
        rates = [f'{100 * scores[key]:.1f}' for key in ('harm_rate', 'win_rate', 'kept_rate')]
        table.add_row(name, *iou, over, *boundary, *rates, f'{scores["ms"]:.0f}', f'{memory_mb[name]:.0f}')
    return table


def main() -> None:
    args = parse_args()
    records, memory_mb = {}, {}
    try:
        run = partial(measure, data_paths(args.data), args.limit, args.device)
        for refiner in args.refiner:
            # One process per refiner, so that peaks of memory are independent.
            with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
                own, used_mb = pool.submit(run, refiner).result()
            records.update(own)
            memory_mb.update(dict.fromkeys(own, used_mb))
            if args.out is not None:
                with whole_file(args.out) as file:
                    file.write(format_tables(records, memory_mb) + '\n')
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    print(format_tables(records, memory_mb))


if __name__ == '__main__':
    main()
