"""Transform that loads coarse masks from files. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmrefine.core.crops import mask_boxes
from mmrefine.core.regions import VOID, split_label_map
from mmrefine.datasets.skipped_samples import SkippedSamples
from mmrefine.files.activation_map_source import activation_map_paths, read_activation_labels
from mmrefine.files.activation_maps import MapNames
from mmrefine.files.coco_file import CocoFile, is_crowd
from mmrefine.files.mask_files import MaskFile, mask_paths, read_mask_file
from mmrefine.files.names import without_suffix
from mmrefine.registry import TRANSFORMS
from mmrefine.utils import require

_KINDS = ('masks', 'labels', 'cams')
_FIELDS = ('coarse_masks', 'gt_masks', 'gt_seg_map')


class _Loaded(NamedTuple):
    """Masks (N, H, W) bool, category ids (N,) int64, crowd flags (N,) bool."""

    masks: np.ndarray
    categories: np.ndarray
    is_crowd: np.ndarray


@TRANSFORMS.register_module()
class LoadCoarseMasks(BaseTransform):
    """Load coarse masks; must come after the transform that loads the image.

    A file matches the image with the same path, which may have more parent folders: ``a/1.png`` matches
    ``photos/a/1.jpg``. COCO results are matched by ``img_id``. Annotations that cannot be used are skipped with a
    warning.

    Args:
        path: COCO annotations or results (RLE or polygons), a PNG file, a folder of PNG files, or activation maps.
        kind: kind of files that are not COCO: ``'masks'``, binary PNG; ``'labels'``, PNG label maps; ``'cams'``, class
            activation maps, which become label maps with 0 for the background and k + 1 for class k.
        into: ``'coarse_masks'`` with ``labels``; ``'gt_masks'`` with boxes and labels, as loaded by MMDetection,
            without empty masks; or ``'gt_seg_map'``, as loaded by MMSegmentation. For the first two, label maps are
            split into regions.
        category_ids: category ids, or labels of label maps, in the order of the classes; labels are indices into it.
            None: labels are the ids, which MMDetection cannot use. Binary masks have the id 1.
        score_thr: minimum score of COCO results; records without a score are kept.
        cam_threshold: pixels of activation maps with lower scores are background.
        cam_names: keys and class numbering of activation maps, keyword arguments of
            :class:`~mmrefine.files.activation_maps.MapNames`.
        ignore_label, background_label: void and background label of label maps; None if there is none.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        ValueError: an argument is invalid, an image has no file, masks do not have the size of their image, a category
            is unknown, or a file is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        kind: str = 'masks',
        into: str = 'coarse_masks',
        category_ids: Sequence[int] | None = None,
        score_thr: float = 0.0,
        cam_threshold: float = 0.25,
        cam_names: Mapping[str, Any] | None = None,
        ignore_label: int | None = VOID,
        background_label: int | None = 0,
    ):
        if kind not in _KINDS or into not in _FIELDS:
            raise ValueError(f'kind must be one of {_KINDS} and into one of {_FIELDS}, got {kind!r} and {into!r}.')
        if into == 'gt_masks' and category_ids is None:
            raise ValueError('gt_masks need category_ids: the category ids in the order of the classes.')
        if into == 'gt_seg_map' and kind == 'masks':
            raise ValueError("gt_seg_map is made from label maps or activation maps: kind must be 'labels' or 'cams'.")
        if score_thr and Path(path).suffix.lower() != '.json':
            raise ValueError(f'score_thr needs COCO results, which have scores, got {path}.')
        if not Path(path).exists():
            raise FileNotFoundError(f'coarse masks {path} do not exist.')
        self.path, self.kind, self.into = Path(path), kind, into
        self.classes = None if category_ids is None else {item: index for index, item in enumerate(category_ids)}
        self.score_thr = score_thr
        self.cam_threshold, self.cam_names = cam_threshold, MapNames(**(cam_names or {}))
        self.ignore_label, self.background_label = ignore_label, background_label
        self.coco = CocoFile(path) if self.path.suffix.lower() == '.json' else None
        if self.coco is not None and kind != 'masks':
            raise ValueError(f"kind must be 'masks' for the COCO file {path}, got {kind!r}.")
        self._by_name = self._list_names()
        self._skipped = SkippedSamples('masks')

    def transform(self, results: dict) -> dict:
        size_hw = results['img'].shape[:2]
        if self.into == 'gt_seg_map':
            _put_label_map(results, self._read_file(results, size_hw).labels())
            return results
        loaded = self._load(results, size_hw)
        labels = self._labels(loaded.categories)
        if self.into == 'coarse_masks':
            results.update(coarse_masks=loaded.masks, labels=labels)
        else:
            _put_instances(results, loaded, labels)
        return results

    def _list_names(self) -> Mapping[str, Any]:
        """Files, or ids of COCO images, by name without suffix."""
        if self.coco is not None:
            return {without_suffix(name): image_id for image_id, name in self.coco.image_names.items()}
        files = activation_map_paths(self.path) if self.kind == 'cams' else mask_paths(self.path)
        return {without_suffix(name): file for name, file in files.items()}

    def _find(self, img_path: str) -> Any:
        parts = PurePath(without_suffix(img_path)).parts
        for start in range(len(parts)):
            found = self._by_name.get('/'.join(parts[start:]))
            if found is not None:
                return found
        raise ValueError(f'{img_path} has no coarse masks in {self.path}: names must match.')

    def _load(self, results: dict, size_hw: tuple[int, int]) -> _Loaded:
        if self.coco is not None:
            return self._load_records(results, size_hw)
        file = self._read_file(results, size_hw)
        if self.kind == 'masks':
            return _Loaded(file.binary()[None], np.ones(1, np.int64), np.zeros(1, bool))
        masks, labels = split_label_map(file.labels(), background=self.background_label, void=self.ignore_label)
        return _Loaded(masks, labels, np.zeros(len(labels), bool))

    def _load_records(self, results: dict, size_hw: tuple[int, int]) -> _Loaded:
        image_id = self._find(results['img_path']) if self.coco.image_names else results['img_id']
        indices = self.coco.records_of(image_id)
        masks, usable = [], []
        for index, record in zip(indices, self.coco.read(indices), strict=True):
            score = record.get('score')
            if isinstance(score, (int, float)) and score < self.score_thr:
                continue
            try:
                mask = self.coco.mask_of(record, size_hw)
            except ValueError as error:
                self._skipped.skip(f'{self.path}: mask {record.get("id", index)} of {results["img_path"]}', str(error))
                continue
            if mask is not None:
                masks.append(mask)
                usable.append(record)
        self._skipped.count_usable(len(masks))
        categories = np.array([record.get('category_id') or 0 for record in usable], np.int64)
        unknown = set(categories.tolist()) - self.coco.categories.keys()
        if self.coco.categories and unknown:
            raise ValueError(f'{self.path} has masks of unknown categories {sorted(unknown)} on {results["img_path"]}.')
        crowds = np.array([is_crowd(record) for record in usable], bool)
        return _Loaded(np.array(masks, bool).reshape(-1, *size_hw), categories, crowds)

    def _read_file(self, results: dict, size_hw: tuple[int, int]) -> MaskFile:
        path = self._find(results['img_path'])
        if self.kind == 'cams':
            return read_activation_labels(path, size_hw, self.cam_threshold, self.cam_names)
        return read_mask_file(path).check_size(size_hw)

    def _labels(self, categories: np.ndarray) -> np.ndarray:
        if self.classes is None:
            return categories
        unknown = set(categories.tolist()) - self.classes.keys()
        if unknown:
            raise ValueError(f'{self.path} has masks of categories {sorted(unknown)} that are not in category_ids.')
        return np.array([self.classes[item] for item in categories.tolist()], np.int64)


def _put_instances(results: dict, loaded: _Loaded, labels: np.ndarray) -> None:
    """Set the fields of MMDetection's LoadAnnotations."""
    mask_structures, box_structures = (
        require(f'mmdet.structures.{name}', 'pip install mmdet', 'LoadCoarseMasks into gt_masks')
        for name in ('mask', 'bbox')
    )
    kept = loaded.masks.any(axis=(1, 2))
    masks = loaded.masks[kept]
    results['gt_masks'] = mask_structures.BitmapMasks(masks.astype(np.uint8), *masks.shape[1:])
    results['gt_bboxes'] = box_structures.HorizontalBoxes(torch.from_numpy(mask_boxes(masks)).float())
    results['gt_bboxes_labels'] = labels[kept]
    results['gt_ignore_flags'] = loaded.is_crowd[kept]


def _put_label_map(results: dict, label_map: np.ndarray) -> None:
    """Set the fields of MMSegmentation's LoadAnnotations."""
    if results.get('reduce_zero_label') or results.get('label_map'):
        raise ValueError(
            'LoadCoarseMasks does not convert labels: the dataset must have reduce_zero_label=False and all classes.'
        )
    results['gt_seg_map'] = label_map
    results.setdefault('seg_fields', []).append('gt_seg_map')
