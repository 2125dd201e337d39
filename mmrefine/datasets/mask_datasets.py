"""Data sets of images with true masks: COCO-format files, and folders of images and masks.

Every sample carries ``rng``, a generator that follows from the data set's seed and the sample's index alone; transforms
draw from it, so a sample is the same whoever loads it: any number of workers or processes, before or after a resume.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmrefine.core.agreement import agreement
from mmrefine.core.checks import MASK_THRESHOLD
from mmrefine.files.coco_file import image_name
from mmrefine.files.images import IMAGE_SUFFIXES
from mmrefine.files.mask_files import read_mask_file
from mmrefine.registry import DATASETS


class _SeededDataset(BaseDataset):
    """A data set whose samples carry their own source of randomness; the arguments are told in the subclasses."""

    def __init__(
        self,
        *args: Any,
        seed: int = 0,
        source: str | None = None,
        kind: str | None = None,
        split: dict | None = None,
        **kwargs: Any,
    ):
        if split is not None and (set(split) != {'modulo', 'keep'} or not isinstance(split['keep'], Sequence)):
            raise ValueError(f'split must be such as dict(modulo=5, keep=[0]), got {split!r}.')
        self.seed, self.source, self.kind, self.split = seed, source, kind, split
        super().__init__(*args, **kwargs)

    def filter_data(self) -> list[dict]:
        """The samples of the split, with ``kind``."""
        if self.split is None:
            kept = self.data_list
        else:
            modulo, keep = self.split['modulo'], set(self.split['keep'])
            kept = [info for info in self.data_list if _hash(Path(info['img_path']).stem) % modulo in keep]
        return kept if self.kind is None else [{**info, 'kind': self.kind} for info in kept]

    def prepare_data(self, idx: int) -> Any:
        return self.draw(idx, np.random.default_rng([self.seed, idx]))

    def draw(self, idx: int, rng: np.random.Generator) -> Any:
        """Sample ``idx`` with all its random draws from ``rng``."""
        self.full_init()
        return self.pipeline({**self.get_data_info(idx), 'rng': rng})


@DATASETS.register_module()
class CocoMaskDataset(_SeededDataset):
    """Masks of a COCO-format file (COCO, LVIS, or one's own).

    Args:
        ann_file: COCO JSON; segmentations are polygons or RLE.
        data_prefix: ``dict(img=folder)``. LVIS files that give a ``coco_url`` instead of a ``file_name`` work too.
        per: 'object', one sample per annotation, for training; 'image', one per image with all its masks.
        min_area: annotations under it are left out, in pixels.
        with_crowd: keep annotations marked ``iscrowd``.
        seed: with the index, it decides all draws of a sample.
        source: the data set's name in reports; default: the stem of the annotation file.
        kind, split: see :class:`MaskFolderDataset`.
    """

    def __init__(
        self,
        *args: Any,
        per: str = 'object',
        min_area: float = 0,
        with_crowd: bool = False,
        **kwargs: Any,
    ):
        if per not in ('object', 'image'):
            raise ValueError(f"per must be 'object' or 'image', got {per!r}.")
        self.per, self.min_area, self.with_crowd = per, min_area, with_crowd
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        with open(self.ann_file, encoding='utf-8') as file:
            content = json.load(file)
        if not isinstance(content, dict) or not {'images', 'annotations'} <= set(content):
            raise ValueError(f'{self.ann_file} is no COCO annotation file: expected keys "images" and "annotations".')
        instances = defaultdict(list)
        for annotation in content['annotations']:
            crowd = annotation.get('iscrowd', 0) and not self.with_crowd
            if not crowd and annotation.get('area', np.inf) >= self.min_area:
                instances[annotation['image_id']].append(
                    {key: annotation[key] for key in ('id', 'segmentation', 'category_id') if key in annotation}
                )
        source = self.source or Path(self.ann_file).stem
        data_list = []
        for image in content['images']:
            info = {
                'img_path': str(Path(self.data_prefix.get('img', '')) / image_name(image)),
                'img_id': image['id'],
                'ori_shape': (image['height'], image['width']),
                'source': source,
            }
            own = instances.get(image['id'], [])
            groups = [[instance] for instance in own] if self.per == 'object' else [own] if own else []
            data_list += [{**info, 'instances': group} for group in groups]
        return data_list


@DATASETS.register_module()
class MaskFolderDataset(_SeededDataset):
    """A folder of images and a folder of binary masks with the same names (suffixes may differ).

    With a third folder, of coarse masks as a model made them, every sample has ``coarse_masks`` (1, H, W) bool before
    the first transform; images without a file there are left out.

    Args:
        data_prefix: ``dict(img=folder, mask=folder)``, and ``coarse=folder`` for given coarse masks: PNG, binary or
            8-bit probabilities. All are searched recursively.
        suffixes: ``dict(img='.jpg', mask='.png')`` where they lie in one folder; default: all that images have.
        coarse_threshold: least and greatest probability at which a given coarse mask is cut, drawn per sample.
        min_coarse_iou: given coarse masks, cut at 0.5, with a lower IoU with the truth are left out.
        seed: with the index, it decides all draws of a sample.
        source: the data set's name in reports; default: the name of the folder that holds the images' one.
        kind: what the coarse masks are in reports, such as 'real' or 'simulated'.
        split: ``dict(modulo=5, keep=[0])`` keeps the images whose name without suffix has a SHA-256 of 0 modulo 5: a
            split that does not depend on what else there is.

    Raises:
        FileNotFoundError: a folder that is none.
        ValueError: images and masks that do not match, or an argument that does not fit.
    """

    def __init__(
        self,
        *args: Any,
        suffixes: dict[str, str] | None = None,
        coarse_threshold: tuple[float, float] = (MASK_THRESHOLD, MASK_THRESHOLD),
        min_coarse_iou: float = 0.0,
        **kwargs: Any,
    ):
        low, high = coarse_threshold
        if not 0 < low <= high < 1:
            raise ValueError(f'coarse_threshold must be (least, greatest) within (0, 1), got {coarse_threshold}.')
        self.suffixes = suffixes or {}
        self.coarse_threshold, self.min_coarse_iou = (low, high), min_coarse_iou
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        images, masks = self._list('img'), self._list('mask')
        unmatched = sorted(str(name) for name in images.keys() ^ masks.keys())
        if unmatched or not images:
            raise ValueError(
                f'every image needs a mask of the same name and the reverse; {len(images)} images and {len(masks)} '
                f'masks were found, without a partner: {unmatched[:5]}.'
            )
        source = self.source or Path(self.data_prefix['img']).parent.name
        data_list = [
            {
                'img_path': str(path),
                'img_id': str(name),
                'source': source,
                'instances': [{'mask_path': str(masks[name])}],
            }
            for name, path in images.items()
        ]
        if 'coarse' in self.data_prefix:
            data_list = self._with_coarse_masks(data_list)
        elif self.min_coarse_iou:
            raise ValueError("min_coarse_iou needs given coarse masks, data_prefix['coarse'].")
        print_log(f'{source}: {len(data_list)} images with masks in {self.data_prefix["img"]}', logger='current')
        return data_list

    def filter_data(self) -> list[dict]:
        """The samples of the split whose coarse masks are good enough."""
        kept = super().filter_data()
        if self.min_coarse_iou > 0:
            kept = [info for info in kept if _coarse_iou(info) >= self.min_coarse_iou]
        return kept

    def draw(self, idx: int, rng: np.random.Generator) -> Any:
        self.full_init()
        info = {**self.get_data_info(idx), 'rng': rng}
        if 'coarse_path' in info:
            probabilities = read_mask_file(info['coarse_path']).probabilities()
            info['coarse_masks'] = (probabilities >= rng.uniform(*self.coarse_threshold))[None]
        return self.pipeline(info)

    def _with_coarse_masks(self, data_list: list[dict]) -> list[dict]:
        coarse = self._list('coarse')
        unknown = sorted(str(name) for name in coarse.keys() - {Path(info['img_id']) for info in data_list})
        if unknown or not coarse:
            raise ValueError(
                f"data_prefix['coarse'] = {self.data_prefix['coarse']} must hold coarse masks with the names of the "
                f'images in {self.data_prefix["img"]}; found {len(coarse)}, without an image: {unknown[:5]}.'
            )
        return [
            {**info, 'coarse_path': str(coarse[Path(info['img_id'])])}
            for info in data_list
            if Path(info['img_id']) in coarse
        ]

    def _list(self, role: str) -> dict[Path, Path]:
        """Files of one role by their name without suffix, relative to the role's folder."""
        folder = Path(self.data_prefix.get(role, ''))
        if not folder.is_dir():
            raise FileNotFoundError(f"data_prefix['{role}'] must be a folder, {folder} is none.")
        suffixes = (self.suffixes[role],) if role in self.suffixes else IMAGE_SUFFIXES
        return {
            path.relative_to(folder).with_suffix(''): path
            for path in sorted(folder.rglob('*'))
            if path.suffix.lower() in suffixes
        }


def _coarse_iou(info: dict) -> float:
    coarse = read_mask_file(info['coarse_path']).probabilities() >= MASK_THRESHOLD
    truth = read_mask_file(info['instances'][0]['mask_path']).binary()
    if coarse.shape != truth.shape:
        raise ValueError(f'coarse mask {info["coarse_path"]} is {coarse.shape} (H, W) but the true one {truth.shape}.')
    return agreement(coarse, truth)


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


@DATASETS.register_module()
class MixtureDataset:
    """Endless draws from several data sets in given proportions.

    Draw k follows from ``seed`` and k alone, also which data set and which sample it takes.

    Args:
        datasets: configs or data sets of this module.
        weights: relative frequency of each.
        length: how many draws there are; more than training will ever use.
        seed: decides all draws.
        max_refetch: how many further samples are tried when a pipeline gives None (no usable object in the crop).
    """

    def __init__(
        self,
        datasets: list,
        weights: list[float],
        length: int = 100_000_000,
        seed: int = 0,
        max_refetch: int = 100,
        lazy_init: bool = False,
    ):
        if len(datasets) != len(weights):
            raise ValueError(f'expected one weight per data set, got {len(datasets)} and {len(weights)}.')
        self.datasets = [DATASETS.build(item) if isinstance(item, dict) else item for item in datasets]
        self.shares = np.asarray(weights, np.float64) / np.sum(weights)
        self.length, self.seed, self.max_refetch = length, seed, max_refetch
        self.metainfo: dict = {}
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Load the annotations of all data sets."""
        for dataset in self.datasets:
            dataset.full_init()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Any:
        rng = np.random.default_rng([self.seed, k])
        for _ in range(self.max_refetch):
            dataset = self.datasets[rng.choice(len(self.datasets), p=self.shares)]
            sample = dataset.draw(int(rng.integers(len(dataset))), rng)
            if sample is not None:
                return sample
        raise RuntimeError(
            f'{self.max_refetch} samples in a row gave no usable object; check the data sets and min_area.'
        )
