"""Compute mask AP and boundary AP of results: evaluate_ap.py ANNOTATIONS RESULTS [RESULTS …].

RESULTS are COCO results lists, such as a detector's and those of tools/refine.py; each is a line of the table.
With --lvis ANNOTATIONS are those of tools/dataset_converters/lvis_to_coco.py and the protocol is that of LVIS.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.evaluation.mask_ap import mask_ap


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', metavar='ANNOTATIONS', type=Path)
    parser.add_argument('results', metavar='RESULTS', type=Path, nargs='+')
    parser.add_argument('--lvis', action='store_true', help='the protocol of LVIS, which needs the package lvis')
    parser.add_argument('--no-boundary', action='store_true', help='mask AP only, in half the time')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    lines = {}
    try:
        for path in args.results:
            results = json.loads(path.read_text(encoding='utf-8'))
            if not isinstance(results, list):
                raise ValueError(f'{path} is not a COCO results list.')
            lines[str(path)] = mask_ap(args.annotations, results, federated=args.lvis, boundary=not args.no_boundary)
    except (OSError, ValueError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    table = Table(box=box.MARKDOWN)
    table.add_column('results')
    for name in next(iter(lines.values())):
        table.add_column(name.replace('_', ' '), justify='right')
    for path, values in lines.items():
        table.add_row(path, *(f'{100 * value:.2f}' for value in values.values()))
    Console(width=200).print(table)
    return 0


if __name__ == '__main__':
    sys.exit(main())
