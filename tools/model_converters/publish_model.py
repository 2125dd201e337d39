"""Publish a checkpoint: weights alone, in half precision, without optimizer, log and random states.

  python tools/model_converters/publish_model.py work_dirs/…/iter_3000.pth segrefiner_mine.pth

Where an EMAHook was used, mmengine stores the averaged weights under "state_dict", which are published.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mmrefine.files.atomic import whole_file
from mmrefine.models.model_zoo import read_weights
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of training')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--full-precision', action='store_true', help='keep float32')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    weights = read_weights(args.checkpoint)
    if not args.full_precision:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    with whole_file(args.out, 'wb') as file:
        torch.save({'state_dict': weights}, file)
    print(f'{args.out}: {counted(len(weights), "array")}, {args.out.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
