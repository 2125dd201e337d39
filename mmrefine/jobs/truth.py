"""Ground truth for a job's masks, and what it says about them. Legend: M masks of a task, H and W in pixels."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrefine.core.rle import decode_segmentation
from mmrefine.evaluation import mask_iou, measure_masks
from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import read_mask_file
from mmrefine.files.mask_sources import CoarseMasks, CocoMasks, LabelMaps, MaskFiles, MaskSource, MaskTask
from mmrefine.structures import RefineResult

MEASURES = ('iou', 'boundary_iou')
# Below it two masks do not mean the same object.
_MIN_OVERLAP = 0.25


@dataclass(frozen=True)
class TrueMasks:
    """Ground truth of a task, for its M masks as they are written (see :class:`~mmrefine.jobs.writers.Written`).

    Attributes:
        masks: (M, H, W) bool.
        known: (M,) bool, which of them there is a truth for.
        valid: (H, W) bool, pixels whose truth is known.
    """

    masks: np.ndarray
    known: np.ndarray
    valid: np.ndarray


class Truth(ABC):
    """Ground truth of all tasks of a source."""

    @abstractmethod
    def load(self, task: MaskTask, coarse: CoarseMasks) -> TrueMasks:
        """Decode the truth of a task.

        Raises:
            OSError, ValueError: it cannot be read, or does not fit the masks.
        """


class CocoTruth(Truth):
    """A COCO annotation file.

    The truth of an annotation is that with the same id on the same image. Results, which have no ids, take the one of
    their category on the same image that overlaps them the most, from an IoU of 0.25.
    """

    def __init__(self, path: str | os.PathLike, source: CocoMasks):
        self.source = source
        self.by_id = not source.file.is_results
        self.file = CocoMasks(path, source.images).file

    def load(self, task: MaskTask, coarse: CoarseMasks) -> TrueMasks:
        size_hw = coarse.masks.shape[1:]
        masks, known = np.zeros_like(coarse.masks), np.zeros(len(coarse.masks), bool)
        records = self.source.file.read(task.refs)
        candidates = self.file.read(self.file.records_of(records[0]['image_id']))
        for position, record in enumerate(records):
            find = self._find_by_id if self.by_id else self._find_by_overlap
            truth = find(candidates, record, coarse.masks[position], size_hw)
            if truth is not None:
                masks[position], known[position] = truth, True
        return TrueMasks(masks, known, np.ones(size_hw, bool))

    def _find_by_id(
        self, candidates: list[dict], record: dict, coarse: np.ndarray, size_hw: tuple[int, int]
    ) -> np.ndarray | None:
        same = [item for item in candidates if 'id' in record and item.get('id') == record['id']]
        if len(same) > 1:
            raise ValueError(f'{self.file.path} has {len(same)} masks with the id {record["id"]}; ids must be unique.')
        return decode_segmentation(same[0]['segmentation'], size_hw) if same else None

    def _find_by_overlap(
        self, candidates: list[dict], record: dict, coarse: np.ndarray, size_hw: tuple[int, int]
    ) -> np.ndarray | None:
        masks = [
            decode_segmentation(item['segmentation'], size_hw)
            for item in candidates
            if item.get('category_id') == record.get('category_id')
        ]
        overlaps = [mask_iou(coarse, mask) for mask in masks]
        best = int(np.argmax(overlaps)) if overlaps else 0
        return masks[best] if overlaps and overlaps[best] >= _MIN_OVERLAP else None


class FileTruth(Truth):
    """PNG masks or label maps with the names of the coarse ones; the ignore label's pixels are not measured."""

    def __init__(self, path: str | os.PathLike, source: MaskFiles):
        self.ignore_label = source.ignore_label if isinstance(source, LabelMaps) else None
        self.is_semantic = isinstance(source, LabelMaps)
        table = ImageTable(path)
        if table.is_single and len(source.files) == 1:
            found = dict(zip(source.files, table.names, strict=True))
        else:
            found = table.match(source.files)
        self.paths = {name: table.path(truth) for name, truth in found.items() if truth is not None}
        if not self.paths:
            raise ValueError(f'no file under {path} has the name of a mask under {source.path}; names must agree.')

    def load(self, task: MaskTask, coarse: CoarseMasks) -> TrueMasks:
        size_hw = coarse.masks.shape[1:]
        names = sorted(set(coarse.names)) if self.is_semantic else coarse.names
        path = self.paths.get(task.refs[0])
        if path is None:
            return TrueMasks(np.zeros((len(names), *size_hw), bool), np.zeros(len(names), bool), np.ones(size_hw, bool))
        file = read_mask_file(path)
        if file.values.shape != size_hw:
            raise ValueError(f'ground truth {path} has the size {file.values.shape} (H, W) but its mask {size_hw}.')
        if self.is_semantic:
            masks = file.values == np.array(names, np.int64).reshape(-1, 1, 1)
        else:
            masks = file.binary()[None]
        valid = np.ones(size_hw, bool) if self.ignore_label is None else file.values != self.ignore_label
        return TrueMasks(masks, np.ones(len(masks), bool), valid)


def open_truth(path: str | os.PathLike, source: MaskSource) -> Truth:
    """The ground truth for the masks of a source, of the same kind as they.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is of another kind, or belongs to none of the masks.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f'ground truth {path} does not exist.')
    is_coco = Path(path).suffix.lower() == '.json'
    if is_coco != isinstance(source, CocoMasks):
        kinds = ('a COCO file', 'PNG files') if is_coco else ('PNG files', 'a COCO file')
        raise ValueError(f'ground truth must be of the kind of the masks: {path} is {kinds[0]}, they are {kinds[1]}.')
    return CocoTruth(path, source) if is_coco else FileTruth(path, source)


def measure(result: RefineResult, truth: TrueMasks) -> list[dict[str, dict[str, float]]]:
    """For each mask its measures before and after, ``{'coarse': ..., 'refined': ...}``; {} where truth is unknown."""
    sides = {
        'coarse': measure_masks(result.coarse_masks & truth.valid, truth.masks & truth.valid, MEASURES),
        'refined': measure_masks(result.masks & truth.valid, truth.masks & truth.valid, MEASURES),
    }
    return [
        {side: {name: float(column[index]) for name, column in columns.items()} for side, columns in sides.items()}
        if known
        else {}
        for index, known in enumerate(truth.known)
    ]
