"""Refined masks go out as the coarse ones came in: the same kind, names, order, ids and further fields.

A writer turns each task's result into what is kept of it, and all of that into the final files.
"""

from __future__ import annotations

import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.core.regions import paint_regions
from mmrefine.core.rle import box_of, encode_like
from mmrefine.files.atomic import whole_file
from mmrefine.files.mask_sources import CoarseMasks, CocoMasks, LabelMaps, MaskFiles, MaskSource, MaskTask
from mmrefine.structures import RefineResult


@dataclass(frozen=True)
class Written:
    """What became of the masks of a task. Legend: M masks as they were written, H and W the size of the image.

    Attributes:
        result: the M masks; differs from the refiner's where these were regions of a label map.
        names, categories: M each, as in :class:`~mmrefine.files.mask_sources.CoarseMasks`.
        output: what :meth:`Writer.finish` needs, in types of JSON.
    """

    result: RefineResult
    names: list
    categories: list[str]
    output: Any = None


class Writer(ABC):
    """Base of the writers.

    Args:
        source: where the coarse masks come from.
        out: folder of the job.

    Attributes:
        path: the file or folder that is written.

    Raises:
        ValueError: the refined masks would overwrite the coarse ones.
    """

    def __init__(self, source: MaskSource, out: Path, name: str):
        self.source = source
        self.path = out / name
        if self.path.resolve() == source.path.resolve():
            raise ValueError(f'refined masks would overwrite the coarse ones in {source.path}; choose another --out.')

    @abstractmethod
    def write(self, task: MaskTask, coarse: CoarseMasks, result: RefineResult) -> Written:
        """Write the result of a task, or prepare it for :meth:`finish`."""

    def finish(self, outputs: Iterable[Any]) -> None:  # noqa: B027  (files are finished when they are written)
        """Write what can only be written when all tasks are done.

        Args:
            outputs: :attr:`Written.output` of each task that succeeded, as it comes out of JSON.
        """


class CocoWriter(Writer):
    """A COCO file with the same records in the same order and refined masks as RLE.

    ``area`` and ``bbox`` follow the mask where a record has them; all other fields stay. Polygons become compressed
    RLE; uncompressed RLE stays uncompressed. Records of images that failed stay as they came.
    """

    def __init__(self, source: CocoMasks, out: Path):
        super().__init__(source, out, source.path.name)
        if source.path.name == 'summary.json':
            raise ValueError(f'{source.path} has the name that the summary will have; rename it.')

    def write(self, task: MaskTask, coarse: CoarseMasks, result: RefineResult) -> Written:
        records = self.source.file.read(task.refs)
        changes = [
            [index, self._change(record, mask, bool(accepted))]
            for index, record, mask, accepted in zip(task.refs, records, result.masks, result.accepted, strict=True)
        ]
        return Written(result, coarse.names, coarse.categories, changes)

    def finish(self, outputs: Iterable[list]) -> None:
        with whole_file(self.path) as file, _Changes(self.path.parent, len(self.source.file)) as changes:
            for output in outputs:
                changes.keep(output)
            self.source.file.copy(file, changes.of)

    @staticmethod
    def _change(record: dict, mask: np.ndarray, accepted: bool) -> dict:
        segmentation = record['segmentation']
        if not accepted and (isinstance(segmentation, dict) or not segmentation):
            return {}
        change: dict[str, Any] = {'segmentation': encode_like(mask, segmentation)}
        if accepted and 'area' in record:
            change['area'] = int(np.count_nonzero(mask))
        if accepted and 'bbox' in record:
            change['bbox'] = box_of(mask)
        return change


class _Changes:
    """Changes of records in a nameless file: they come image by image, and are wanted in the order of the records.

    Args:
        folder: on the disk where the results go, which has room for them.
        num_records: of the COCO file; each takes eight bytes of memory.
    """

    def __init__(self, folder: Path, num_records: int):
        self._file = tempfile.TemporaryFile(dir=folder)
        self._starts = np.full(num_records, -1, np.int64)

    def __enter__(self) -> _Changes:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def keep(self, changes: Iterable[tuple[int, dict]]) -> None:
        """Remember the changes of the records at these indices."""
        for index, change in changes:
            if change:
                self._starts[index] = self._file.seek(0, os.SEEK_END)
                self._file.write(json.dumps(change).encode() + b'\n')

    def of(self, index: int) -> dict:
        """The change of a record; nothing where none was kept."""
        if self._starts[index] < 0:
            return {}
        self._file.seek(self._starts[index])
        return json.loads(self._file.readline())


class MaskFileWriter(Writer):
    """PNG masks under ``masks/``, each under its own name with its own bit depth, levels and palette."""

    def __init__(self, source: MaskFiles, out: Path):
        super().__init__(source, out, 'masks')
        for path in source.files.values():
            if self.path.resolve() in path.resolve().parents:
                raise ValueError(f'refined masks would overwrite the coarse ones in {self.path}; choose another --out.')

    def write(self, task: MaskTask, coarse: CoarseMasks, result: RefineResult) -> Written:
        self._save(task, coarse, coarse.file.from_binary(result.masks[0]))
        return Written(result, coarse.names, coarse.categories)

    def _save(self, task: MaskTask, coarse: CoarseMasks, values: np.ndarray) -> None:
        with whole_file(self.path / task.refs[0], 'wb') as file:
            coarse.file.save(file, values)


class LabelMapWriter(MaskFileWriter):
    """Label maps under ``masks/``, painted by :func:`~mmrefine.core.regions.paint_regions`.

    What is written, and reported, is one mask per label: its score is the mean of its regions by area, and it counts as
    accepted if one of them was.

    Args:
        ignore_band: write also ``pseudo_labels/``, the same with void where coarse and refined label differ.
    """

    def __init__(self, source: LabelMaps, out: Path, ignore_band: bool = False):
        super().__init__(source, out)
        if ignore_band and source.ignore_label is None:
            raise ValueError('an ignore band needs the label of void; give an ignore_label.')
        self.labels_path = out / 'pseudo_labels' if ignore_band else None

    def write(self, task: MaskTask, coarse: CoarseMasks, result: RefineResult) -> Written:
        void, background = self.source.ignore_label, self.source.background_label
        before, labels = coarse.file.labels(), np.array(coarse.names, np.int64)
        after = paint_regions(
            before, result.coarse_masks, result.masks, labels, result.scores, background=background, void=void
        )
        if self.labels_path is not None:
            with whole_file(self.labels_path / task.refs[0], 'wb') as file:
                coarse.file.save(file, np.where(before == after, after, void))
        self._save(task, coarse, after)
        names = sorted(set(coarse.names))
        return Written(_by_label(names, labels, before, after, result), names, [''] * len(names))


def _by_label(
    names: list[int], labels: np.ndarray, before: np.ndarray, after: np.ndarray, result: RefineResult
) -> RefineResult:
    """The result of N regions as one of M labels."""
    columns = np.array(names, np.int64).reshape(-1, 1, 1)
    areas_px = np.count_nonzero(result.coarse_masks, axis=(1, 2))
    members = [labels == name for name in names]
    kept = [member & ~result.accepted for member in members]
    return RefineResult(
        masks=after == columns,
        scores=np.array([np.average(result.scores[m], weights=areas_px[m]) for m in members], np.float32),
        accepted=np.array([result.accepted[member].any() for member in members], bool),
        coarse_masks=before == columns,
        reasons=tuple(
            f'{result.reasons[np.argmax(k)]} ({k.sum()} of {m.sum()} regions)' if k.any() else ''
            for k, m in zip(kept, members, strict=True)
        ),
    )


def open_writer(source: MaskSource, out: Path, ignore_band: bool = False) -> Writer:
    """The writer for masks of this source.

    Args:
        ignore_band: see :class:`LabelMapWriter`; other masks have none.
    """
    if isinstance(source, LabelMaps):
        return LabelMapWriter(source, out, ignore_band)
    if ignore_band:
        raise ValueError(f'an ignore band goes with label maps and activation maps, got masks of {source.path}.')
    kinds = {CocoMasks: CocoWriter, MaskFiles: MaskFileWriter}
    return kinds[type(source)](source, out)
