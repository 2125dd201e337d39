"""Generate the datasets of the experiment: synthetic scenes, and crops around objects in images.

OUT/{base,refiner,val}/{synthetic,photos}/{images,masks}/*.png: what the base learns from, what the refiner learns
from, and what neither sees.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import draw_scene

from mmrefine.datasets import MixtureDataset

# Weights of the sets that configs/segrefiner/README.md prepares; no set is both trained on and validated on.
TRAIN_SETS = {'davis_train': 2.0, 'bsds_train': 2.0, 'ccp_garments': 2.0, 'ccp_person': 1.0, 'leaf': 0.5, 'nuclei': 0.5}
VAL_SETS = {'davis_val': 1.0, 'bsds_test': 1.0, 'nuts18': 1.0}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', type=Path, help='folder with SET.json and images in SET/ for each set')
    parser.add_argument('out', type=Path)
    parser.add_argument('--size', type=int, default=128, help='side of the images in pixels (default: %(default)s)')
    parser.add_argument(
        '--counts', type=int, nargs=3, default=(4000, 8000, 256), metavar=('BASE', 'REFINER', 'VAL'),
        help='images of each pool, half of them scenes (default: %(default)s)',
    )  # fmt: skip
    return parser.parse_args()


def crops(data: Path, sets: dict[str, float], size: int, seed: int) -> MixtureDataset:
    """Crops around single objects, without scattered and very small ones."""
    pipeline = [
        dict(type='LoadRGBImage'),
        dict(type='LoadTrueMasks'),
        dict(type='ObjectWindow', margin_ratio=0.8, max_side=3 * size, min_side=size // 6, min_fill=0.25),
        dict(type='RandomObjectCrop', size=size, margin_px=size),
        dict(type='RandomMaskFlip'),
    ]
    datasets = [
        dict(
            type='CocoMaskDataset',
            ann_file=str(data / f'{name}.json'),
            data_prefix=dict(img=str(data / name)),
            pipeline=pipeline,
        )
        for name in sets
    ]
    return MixtureDataset(datasets, list(sets.values()), seed=seed)


def save(folder: Path, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8 and its mask (H, W) bool under the same name."""
    for role, picture in (('images', image), ('masks', mask)):
        (folder / role).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / role / f'{name}.png')


def main() -> None:
    args = parse_args()
    pools = zip(('base', 'refiner', 'val'), (TRAIN_SETS, TRAIN_SETS, VAL_SETS), args.counts, strict=True)
    for seed, (pool, sets, count) in enumerate(pools, start=1):
        photos = crops(args.data, sets, args.size, seed)
        for k in range(count // 2):
            image, mask = draw_scene(args.size, np.random.default_rng([seed, k]))
            save(args.out / pool / 'synthetic', f'{k:05}', image, mask)
            sample = photos[k]
            save(args.out / pool / 'photos', f'{k:05}_{sample["source"]}', sample['img'], sample['gt_masks'][0])


if __name__ == '__main__':
    main()
