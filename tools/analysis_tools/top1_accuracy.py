"""Compute how often the predicted IoU selects SAM's best output: top1_accuracy.py CONFIG [CHECKPOINT].

CONFIG is a config of SAMRefiner++ with a test_dataloader of coarse and ground-truth masks. With CHECKPOINT,
the adapted IoU head is compared with the published one.
"""

from __future__ import annotations

import argparse

import numpy as np
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmrefine.models.model_zoo import load_weights, pick_device
from mmrefine.models.refiners import SAMRefinerPP
from mmrefine.registry import DATASETS, MODELS
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint', nargs='?', help='weights from tools/train.py')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    parser.add_argument('--max-images', metavar='N', type=int, help='evaluate the first N images')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    return parser.parse_args()


def accuracy(refiner: SAMRefinerPP, dataset, count: int) -> tuple[float, int]:
    """Fraction of masks whose best output ranks first, and the number of masks."""
    hits = [np.zeros(0, bool)]
    for index in range(count):
        sample = dataset[index]
        image = sample['inputs'].permute(1, 2, 0).numpy()
        coarse, gt = sample['data_samples'].coarse_masks, sample['data_samples'].gt_masks
        usable = coarse.any(axis=(1, 2)) & gt.any(axis=(1, 2))
        hits.append(refiner.top1(image, coarse[usable], gt[usable]))
    hits = np.concatenate(hits)
    return float(hits.mean()) if len(hits) else float('nan'), len(hits)


def main() -> None:
    args = parse_args()
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    init_default_scope('mmrefine')
    refiner = MODELS.build(config.model)
    if not isinstance(refiner, SAMRefinerPP):
        raise SystemExit(f'{args.config} describes a {type(refiner).__name__}; give a config of SAMRefiner++.')
    refiner = refiner.to(pick_device(args.device)).eval()
    dataset = DATASETS.build(config.test_dataloader.dataset)
    count = min(len(dataset), args.max_images or len(dataset))
    before, masks = accuracy(refiner, dataset, count)
    print(
        f'top-1 accuracy of {counted(masks, "mask")} on {counted(count, "image")}, as published: {100 * before:.1f} %'
    )
    if args.checkpoint:
        load_weights(refiner, args.checkpoint)
        print(f'with {args.checkpoint}: {100 * accuracy(refiner, dataset, count)[0]:.1f} %')


if __name__ == '__main__':
    main()
