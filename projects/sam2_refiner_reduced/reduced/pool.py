"""Pools of images with ground-truth masks, drawn once and kept on disk: half synthetic scenes, half crops of images.

Legend: N images of a pool, S their side in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrefine.datasets import MixtureDataset
from mmrefine.files.atomic import whole_file

from .scenes import draw_scene

# Weights of the sets that `configs/segrefiner/README.md` prepares; what is validated on is never trained on.
TRAIN_SETS = {'davis_train': 2.0, 'bsds_train': 2.0, 'ccp_garments': 2.0, 'ccp_person': 1.0, 'leaf': 0.5, 'nuclei': 0.5}
VAL_SETS = {'davis_val': 1.0, 'bsds_test': 1.0, 'nuts18': 1.0}
SYNTHETIC = 'synthetic'


@dataclass(frozen=True)
class Pool:
    """Images with one object each.

    Attributes:
        images: (N, S, S, 3) uint8 RGB.
        masks: (N, S, S) bool.
        sources: (N,) names of the datasets.
    """

    images: np.ndarray
    masks: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_pool(path: Path, count: int, size: int, seed: int, data: Path | None, sets: dict[str, float]) -> Pool:
    """Read a pool, which is drawn first if the file is not there.

    Args:
        path: ``.npz`` file.
        count: N; even places hold synthetic scenes and odd ones images, without ``data`` all are synthetic.
        size: S.
        seed: pools of different seeds share no synthetic scene.
        data: folder with ``<set>.json`` and the images in ``<set>/`` for each of the sets; None: no images.
        sets: names of the sets and how often each is drawn from.
    """
    if not path.is_file():
        pool = draw_pool(count, size, seed, data, sets)
        with whole_file(path, 'wb') as file:
            np.savez(file, images=pool.images, masks=pool.masks, sources=pool.sources)
    with np.load(path) as arrays:
        return Pool(arrays['images'], arrays['masks'], arrays['sources'])


def draw_pool(count: int, size: int, seed: int, data: Path | None, sets: dict[str, float]) -> Pool:
    """Draw a pool; arguments as for :func:`load_pool`."""
    photographs = None if data is None else _photographs(data, sets, size, seed)
    images, masks = np.zeros((count, size, size, 3), np.uint8), np.zeros((count, size, size), bool)
    sources = []
    for k in range(count):
        if photographs is None or k % 2 == 0:
            images[k], masks[k] = draw_scene(size, np.random.default_rng([seed, k]))
            sources.append(SYNTHETIC)
        else:
            sample = photographs[k]
            images[k], masks[k] = sample['img'], sample['gt_masks'][0]
            sources.append(sample['source'])
    return Pool(images, masks, np.array(sources))


def _photographs(data: Path, sets: dict[str, float], size: int, seed: int) -> MixtureDataset:
    """Crops around single objects; scattered and very small ones are left out."""
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
            source=name,
            pipeline=pipeline,
        )
        for name in sets
    ]
    return MixtureDataset(datasets, list(sets.values()), seed=seed)
