"""Datasets of images with ground-truth masks: COCO files, and folders of images and masks.

Every sample has ``rng``, a random generator that depends only on the dataset's seed and the sample's index. Transforms
draw from it, so that samples do not depend on the number of workers or processes, or on resuming.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmrefine.core.checks import MASK_THRESHOLD
from mmrefine.core.iou import binary_iou
from mmrefine.core.rle import is_absent
from mmrefine.datasets.skipped_samples import BrokenSampleError, SkippedSamples
from mmrefine.files.coco_file import CocoFile, is_crowd, record_problem
from mmrefine.files.images import IMAGE_SUFFIXES
from mmrefine.files.mask_files import read_mask_file
from mmrefine.files.names import find_files, locate, without_suffix
from mmrefine.registry import DATASETS
from mmrefine.utils import counted


class _SeededDataset(BaseDataset):
    """Base class of datasets whose samples have their own random generator; see the subclasses for the arguments."""

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
            raise ValueError(f'split must be a dict such as dict(modulo=5, keep=[0]), got {split!r}.')
        self.seed, self.source, self.kind, self.split = seed, source, kind, split
        super().__init__(*args, **kwargs)

    def filter_data(self) -> list[dict]:
        """Samples of the split, with ``kind``."""
        if self.split is None:
            kept = self.data_list
        else:
            modulo, keep = self.split['modulo'], set(self.split['keep'])
            kept = [info for info in self.data_list if _hash(Path(info['img_path']).stem) % modulo in keep]
        return kept if self.kind is None else [{**info, 'kind': self.kind} for info in kept]

    def prepare_data(self, idx: int) -> Any:
        return self.draw(idx, np.random.default_rng([self.seed, idx]))

    def draw(self, idx: int, rng: np.random.Generator) -> Any:
        """Sample ``idx``, with ``rng`` as the source of all randomness."""
        self.full_init()
        return self.pipeline({**self.get_data_info(idx), 'rng': rng})


@DATASETS.register_module()
class CocoMaskDataset(_SeededDataset):
    """Dataset of a COCO annotation file (also LVIS), without crowds.

    Annotations that cannot be used are skipped with a warning.

    Args:
        ann_file: COCO JSON; segmentations are polygons or RLE.
        data_prefix: ``dict(img=folder)``. LVIS files with ``coco_url`` instead of ``file_name`` work too.
        per: 'object': one sample per annotation, for training; 'image': one sample per image with all its masks.
        min_area: minimum area of annotations in pixels.
        seed: seed of the samples' random generators.
        source: name of the dataset in reports; default: the stem of the annotation file.
        kind, split: see :class:`MaskFolderDataset`.

    Raises:
        ValueError: the file is not a COCO annotation file, or an argument is invalid.
    """

    def __init__(
        self,
        *args: Any,
        per: str = 'object',
        min_area: float = 0,
        **kwargs: Any,
    ):
        if per not in ('object', 'image'):
            raise ValueError(f"per must be 'object' or 'image', got {per!r}.")
        self.per, self.min_area = per, min_area
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        file = CocoFile(self.ann_file)
        if file.is_results:
            raise ValueError(
                f'{self.ann_file} is not a COCO annotation file: expected keys "images" and "annotations".'
            )
        skipped = SkippedSamples(f'annotations of {self.ann_file}')
        for image_id in file.image_ids:
            problem = (
                file.images[image_id].problem if image_id in file.images else 'its "image_id" is not among the images.'
            )
            if problem:
                skipped.skip(f'{self.ann_file}: image {image_id}', problem)
        source = self.source or Path(self.ann_file).stem
        data_list = []
        for image_id, image in file.images.items():
            info = {
                'img_path': str(locate(Path(self.data_prefix.get('img', '')), image.name)),
                'img_id': image_id,
                'ori_shape': image.size_hw,
                'source': source,
            }
            indices = [] if image.problem else file.records_of(image_id)
            own = [self._instance(file, *pair, skipped) for pair in zip(indices, file.read(indices), strict=True)]
            own = [instance for instance in own if instance is not None]
            groups = [[instance] for instance in own] if self.per == 'object' else [own] if own else []
            data_list += [{**info, 'instances': group} for group in groups]
        return data_list

    def _instance(self, file: CocoFile, index: int, record: Any, skipped: SkippedSamples) -> dict | None:
        """Instance of an annotation; None for crowds, small masks, boxes without masks and unusable records."""
        problem = record_problem(record, file.categories)
        if problem:
            skipped.skip(f'{self.ann_file}: annotations[{index}]', problem)
            return None
        skipped.count_usable()
        area = record.get('area')
        is_small = isinstance(area, (int, float)) and area < self.min_area
        if is_crowd(record) or is_small or is_absent(record.get('segmentation')):
            return None
        kept = {key: record[key] for key in ('id', 'segmentation', 'category_id') if record.get(key) is not None}
        return {**kept, 'size_hw': file.images[record['image_id']].size_hw}


@DATASETS.register_module()
class MaskFolderDataset(_SeededDataset):
    """Dataset of a folder of images and a folder of binary masks with the same names (suffixes may differ).

    With a third folder of coarse masks, such as a model's predictions, samples have ``coarse_masks`` (1, H, W) bool
    before the first transform; images without a coarse mask are skipped.

    Args:
        data_prefix: ``dict(img=folder, mask=folder)`` and optionally ``coarse=folder`` for coarse masks (PNG, binary or
            8-bit probabilities). Folders are searched recursively.
        suffixes: ``dict(img='.jpg', mask='.png')`` if both are in one folder; default: all suffixes of images.
        coarse_threshold: min and max threshold of coarse probabilities, drawn uniformly for each sample.
        min_coarse_iou: minimum IoU of coarse masks, thresholded at 0.5, with the ground truth.
        seed: seed of the samples' random generators.
        source: name of the dataset in reports; default: the parent folder of the images' folder.
        kind: kind of coarse masks in reports, such as 'real' or 'simulated'.
        split: ``dict(modulo=5, keep=[0])`` keeps images for which the SHA-256 of the name without suffix, modulo 5, is
            0. Such a split does not depend on other images.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: images and masks do not match, two files have the same name, or an argument is invalid.
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
            raise ValueError(f'coarse_threshold must be (min, max) within (0, 1), got {coarse_threshold}.')
        self.suffixes = suffixes or {}
        self.coarse_threshold, self.min_coarse_iou = (low, high), min_coarse_iou
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        images, masks = self._list('img'), self._list('mask')
        unmatched = sorted(str(name) for name in images.keys() ^ masks.keys())
        if unmatched or not images:
            raise ValueError(
                f'every image needs a mask of the same name and vice versa, got {len(images)} images and {len(masks)} '
                f'masks; without a match: {unmatched[:5]}.'
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
            raise ValueError("min_coarse_iou needs coarse masks, data_prefix['coarse'].")
        images = counted(len(data_list), 'image')
        print_log(f'{source}: {images} with masks in {self.data_prefix["img"]}', logger='current')
        return data_list

    def filter_data(self) -> list[dict]:
        """Samples of the split whose coarse masks reach ``min_coarse_iou``."""
        kept = super().filter_data()
        if self.min_coarse_iou > 0:
            kept = [info for info in kept if _coarse_iou(info) >= self.min_coarse_iou]
        return kept

    def draw(self, idx: int, rng: np.random.Generator) -> Any:
        self.full_init()
        info = {**self.get_data_info(idx), 'rng': rng}
        if 'coarse_path' in info:
            try:
                probabilities = read_mask_file(info['coarse_path']).probabilities()
            except (OSError, ValueError) as error:
                raise BrokenSampleError(str(error)) from error
            info['coarse_masks'] = (probabilities >= rng.uniform(*self.coarse_threshold))[None]
        return self.pipeline(info)

    def _with_coarse_masks(self, data_list: list[dict]) -> list[dict]:
        coarse = self._list('coarse')
        unknown = sorted(str(name) for name in coarse.keys() - {Path(info['img_id']) for info in data_list})
        if unknown or not coarse:
            raise ValueError(
                f"data_prefix['coarse'] = {self.data_prefix['coarse']} must contain coarse masks with the names of "
                f'images in {self.data_prefix["img"]}, got {len(coarse)} masks; without an image: {unknown[:5]}.'
            )
        return [
            {**info, 'coarse_path': str(coarse[Path(info['img_id'])])}
            for info in data_list
            if Path(info['img_id']) in coarse
        ]

    def _list(self, role: str) -> dict[Path, Path]:
        """Files of a role by their relative path without suffix."""
        folder = Path(self.data_prefix.get(role, ''))
        if not folder.is_dir():
            raise FileNotFoundError(f"data_prefix['{role}'] must be a folder, but {folder} is not.")
        suffixes = (self.suffixes[role],) if role in self.suffixes else IMAGE_SUFFIXES
        found: dict[Path, Path] = {}
        for name, path in find_files(folder, suffixes).items():
            key = Path(without_suffix(name))
            if key in found:
                raise ValueError(
                    f'{found[key]} and {path} have the same name without suffix; keep one of them, or give the '
                    f"suffixes, such as suffixes=dict(img='.jpg', mask='.png')."
                )
            found[key] = path
        return found


def _coarse_iou(info: dict) -> float:
    coarse = read_mask_file(info['coarse_path']).probabilities() >= MASK_THRESHOLD
    gt = read_mask_file(info['instances'][0]['mask_path']).binary()
    if coarse.shape != gt.shape:
        raise ValueError(f'coarse mask {info["coarse_path"]} must have the size {gt.shape}, got {coarse.shape} (H, W).')
    return binary_iou(coarse, gt)


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)
