"""COCO annotation files and results lists; refined files have the same records in the same order, with masks as RLE."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.core.outlines import check_tolerance, to_polygons
from mmrefine.core.rle import encode_like, is_absent
from mmrefine.evaluation import mask_iou
from mmrefine.files.coco_file import NO_IMAGE, CocoFile, is_crowd
from mmrefine.files.digests import digest_of
from mmrefine.files.image_table import ImageTable
from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.formats.base import (
    CROWD,
    CoarseMasks,
    FormatOptions,
    GroundTruth,
    GroundTruthMasks,
    MaskFormat,
    MaskTask,
    register_format,
)
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMask, RefinedMasks
from mmrefine.jobs.work import short
from mmrefine.utils import listed

_MIN_OVERLAP = 0.25  # minimum IoU of a result with its ground truth


@register_format('coco')
class CocoMasks(MaskFormat):
    """Masks of a COCO annotation file or results list.

    In the refined file, ``area`` and ``bbox`` are updated where a record has them; all other fields stay. Polygons
    become compressed RLE; uncompressed RLE stays uncompressed. With ``options.polygons``, accepted masks become
    polygons and other masks are not changed. Crowds, records without a segmentation, and records of failed images are
    never changed, but for crowds with ``options.crowds``: Datumaro and supervision mark every RLE as a crowd.

    Attributes:
        file: the annotations or results.
    """

    is_fallback = True

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        if options.semantic or options.cam_threshold is not None:
            raise ValueError(f'{path} is a COCO file; --semantic and --cam are for label maps and activation maps.')
        if options.ignore_band:
            raise ValueError(f'an ignore band needs label maps or activation maps, got masks of {path}.')
        self.file = CocoFile(path)
        if options.polygons is not None:
            self.choices = {**self.choices, 'polygons': check_tolerance(options.polygons)}
        if options.crowds:
            self.choices = {**self.choices, 'crowds': True}
        self._check_ids()
        self.tasks = _CocoTasks(self.file, images, self._find())

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        return path.suffix.lower() == '.json'

    def _check_ids(self) -> None:
        """Check that at least one image id is known."""
        known = self.file.images or self.images.ids
        unknown = [image_id for image_id in self.file.image_ids if image_id not in known]
        if known and unknown and len(unknown) == len(self.file.image_ids):
            some = listed(unknown)
            raise ValueError(
                f'{self.path} has only masks of unknown images: image_id {some} not among the images of '
                f'{self.path if self.file.images else self.images.source}.'
            )

    def _find(self) -> list[str | None]:
        """The image of each id, found by its name in the file, or else by the id."""
        image_ids, names = self.file.image_ids, self.file.image_names
        if self.images.is_single and len(image_ids) == 1:
            return list(self.images.names)
        matched = self.images.match(names[image_id] for image_id in image_ids if image_id in names)
        by_name = [matched.get(names.get(image_id, '')) for image_id in image_ids]
        if names and not self.images.ids:
            return by_name
        return [
            self.images.find_id(image_id) if image is None and image_id is not NO_IMAGE else image
            for image_id, image in zip(image_ids, by_name, strict=True)
        ]

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        # Records are hashed only if the file has changed.
        return Fingerprint(digest_of([self.file.digest, task.key]), lambda: digest_of(self.file.read(task.refs)))

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        records = self.file.read(task.refs)
        names = [record.get('id', index) for record, index in zip(records, task.refs, strict=True)]
        categories = [_category(self.file, record) for record in records]
        left_alone = {index: reason for index, record in enumerate(records) if (reason := self._left_alone(record))}
        mask_of = partial(self.mask_of, task, size_hw=size_hw)
        return _Records(size_hw, names, categories, left_alone, records, mask_of)

    def _left_alone(self, record: dict) -> str:
        """Reason why a valid record is not refined; '' if it is."""
        if is_absent(record.get('segmentation')):
            return _NO_MASK
        return CROWD if is_crowd(record) and not self.options.crowds else ''

    def mask_of(self, task: MaskTask, record: dict, size_hw: tuple[int, int]) -> np.ndarray | None:
        """The mask of a record, see :meth:`~mmrefine.files.coco_file.CocoFile.mask_of`."""
        # Results do not contain the sizes of their images, but the COCO file of images may.
        declared_hw = self.images.sizes.get(task.image) if self.file.is_results else None
        return self.file.mask_of(record, size_hw, declared_hw)

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        described = self.file.images.get(json.loads(task.key))
        return None if described is None else described.size_hw

    def without_masks(self) -> Iterable[tuple[str, tuple[int, int]]]:
        with_masks = set(self.file.image_ids)
        for image_id, image in self.file.images.items():
            if image_id not in with_masks and not image.problem and image.size_hw is not None:
                yield image.name, image.size_hw

    def names_digest(self) -> str:
        return digest_of(list(self.file.categories.items()))

    def final_digest(self) -> str:
        return self.file.digest

    def final_outputs(self) -> list[str]:
        return [self.path.name]

    def finish(self, done: Iterable[tuple[MaskTask, RefinedMasks]], out: OutputFolder) -> None:
        with out.open(self.path.name) as file, _Changes(out.state, len(self.file)) as changes:
            for task, refined in done:
                records = self.file.read(task.refs)
                for index, record, item in zip(task.refs, records, refined, strict=True):
                    changes.keep(index, self._change(task, record, item, refined.size_hw))
            self.file.copy(file, changes.of)

    def _change(self, task: MaskTask, record: dict, item: RefinedMask, size_hw: tuple[int, int]) -> dict:
        """New values for fields of a record."""
        segmentation = record.get('segmentation')
        if item.failed or self._left_alone(record) or (not item.accepted and isinstance(segmentation, dict)):
            return {}
        tolerance_px = self.options.polygons
        if not item.accepted and tolerance_px is not None:
            return {}
        if not item.accepted:
            return {'segmentation': encode_like(self.mask_of(task, record, size_hw), segmentation)}
        is_runs = isinstance(segmentation, dict) and isinstance(segmentation['counts'], list)
        change: dict[str, Any] = {'segmentation': encode_like(item.decode(), segmentation) if is_runs else item.rle}
        if tolerance_px is not None:
            change['segmentation'] = to_polygons(item.decode(), tolerance_px)
        if 'area' in record:
            change['area'] = item.area_px
        if 'bbox' in record:
            change['bbox'] = item.box_xywh
        return change

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return CocoGroundTruth(path, self)


class _Records(CoarseMasks):
    """The masks of COCO records."""

    def __init__(
        self,
        size_hw: tuple[int, int],
        names: list,
        categories: list[str],
        left_alone: dict[int, str],
        records: list[dict],
        mask_of: Callable[[dict], np.ndarray | None],
    ):
        scores = [record.get('score') if isinstance(record, dict) else None for record in records]
        super().__init__(size_hw, names, categories, left_alone, scores)
        self._records, self._mask_of = records, mask_of

    def mask(self, index: int) -> np.ndarray:
        mask = self._mask_of(self._records[index])
        return np.zeros(self.size_hw, bool) if mask is None else mask


_NO_MASK = 'no segmentation'


def _category(file: CocoFile, record: dict) -> str:
    category_id = record.get('category_id')
    name = file.categories.get(category_id, '') if isinstance(category_id, (int, float, str)) else ''
    return name if isinstance(name, str) else ''


class _CocoTasks(Sequence):
    """Lazy sequence of the tasks of a COCO file, since a million of them would take too much memory.

    Args:
        file: the COCO file.
        images: the images.
        found: name of the image for each of ``file.image_ids``; None if it was not found.
    """

    def __init__(self, file: CocoFile, images: ImageTable, found: list[str | None]):
        self._file, self._images, self._found = file, images, found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: int | slice) -> MaskTask | list[MaskTask]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        image_id, image = self._file.image_ids[index], self._found[index]
        refs = tuple(self._file.records_of(image_id))
        path = None if image is None else self._images.path(image)
        described = self._file.images.get(image_id)
        shown = f'image_id {short(image_id, 80)}'
        label = image or (shown if described is None else described.name)
        if described is None:
            problem = self._images.problems.get(image_id, '') or self._images.ambiguous.get(str(image_id), '')
        else:
            problem = described.problem
        if image_id is NO_IMAGE:
            label = f'records without an image in {self._file.path.name}'
            problem = '"image_id" must be a number or a string.'
        elif self._file.images and described is None:
            problem = f'{shown} is not among the images of {self._file.path}.'
        return MaskTask(index % len(self), json.dumps(image_id), label, path, refs, len(refs), problem)


class _Changes:
    """Changes of records in a temporary file: written image by image, read in the order of the records.

    Args:
        folder: folder of the temporary file.
        num_records: number of records of the COCO file; each takes eight bytes of memory.
    """

    def __init__(self, folder: Path, num_records: int):
        self._file = tempfile.TemporaryFile(dir=folder)
        self._starts = np.full(num_records, -1, np.int64)

    def __enter__(self) -> _Changes:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def keep(self, index: int, change: dict) -> None:
        """Store the change of a record."""
        if change:
            self._starts[index] = self._file.seek(0, os.SEEK_END)
            self._file.write(json.dumps(change).encode() + b'\n')

    def of(self, index: int) -> dict:
        """The change of a record; empty if there is none."""
        if self._starts[index] < 0:
            return {}
        self._file.seek(self._starts[index])
        return json.loads(self._file.readline())


class CocoGroundTruth(GroundTruth):
    """Ground truth in a COCO annotation file.

    The ground truth of an annotation has the same id and image. Results have no ids: their ground truth is the
    annotation with the same image and category and the highest IoU, at least 0.25.
    """

    def __init__(self, path: Path, source: CocoMasks):
        self.source, self.paths = source, [path]
        self.by_id = not source.file.is_results
        self.file = CocoMasks(path, source.images, FormatOptions()).file

    def _candidates(self, task: MaskTask) -> list[dict]:
        return self.file.read(self.file.records_of(json.loads(task.key)))

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        quick = digest_of([self.file.digest, task.key])
        return Fingerprint(quick, lambda: digest_of(self._candidates(task)))

    def read(self, task: MaskTask, coarse: CoarseMasks) -> GroundTruthMasks:
        records, candidates = self.source.file.read(task.refs), self._candidates(task)

        def find(position: int, mask: np.ndarray) -> np.ndarray | None:
            if self.by_id:
                return self._find_by_id(candidates, records[position], coarse.size_hw)
            return self._find_by_overlap(candidates, records[position], mask)

        return GroundTruthMasks(find)

    def _find_by_id(self, candidates: list[dict], record: dict, size_hw: tuple[int, int]) -> np.ndarray | None:
        same = [item for item in candidates if 'id' in record and item.get('id') == record['id']]
        if len(same) > 1:
            raise ValueError(f'{self.file.path} has {len(same)} masks with the id {record["id"]}; ids must be unique.')
        return self.file.mask_of(same[0], size_hw) if same else None

    def _find_by_overlap(self, candidates: list[dict], record: dict, coarse: np.ndarray) -> np.ndarray | None:
        best, best_iou = None, _MIN_OVERLAP
        for item in candidates:
            if item.get('category_id') != record.get('category_id'):
                continue
            mask = self.file.mask_of(item, coarse.shape)
            iou = 0.0 if mask is None else mask_iou(coarse, mask)
            if iou >= best_iou and (best is None or iou > best_iou):
                best, best_iou = mask, iou
        return best
