"""Where a job's coarse masks come from: a COCO file, PNG masks, or label maps; one mechanism for all.

A source is a list of tasks, each one image with some or all of its masks, whose masks are decoded when they are wanted.
Legend: N masks of a task, H and W the size of its image in pixels.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrefine.core.regions import VOID, split_label_map
from mmrefine.files.coco_file import CocoFile
from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import MaskFile, read_mask_file
from mmrefine.files.names import find_files

# Bounds the memory that one image takes; an image with more masks is several tasks.
MAX_MASKS_PER_TASK = 64


@dataclass(frozen=True)
class MaskTask:
    """Masks of one image.

    Attributes:
        index: place among the tasks.
        image: the image's name in reports.
        image_path: where it is; None if no image was found.
        refs: where the masks are: indices of COCO records, or one name of a file.
        num_masks: how many there are; None if only reading them will tell.
    """

    index: int
    image: str
    image_path: Path | None
    refs: tuple
    num_masks: int | None


@dataclass(frozen=True)
class CoarseMasks:
    """The decoded masks of a task.

    Attributes:
        masks: (N, H, W) bool.
        names: N names for reports: ids, labels or file names.
        categories: N names of categories, '' where unknown.
        file: the PNG file, where they come from one.
    """

    masks: np.ndarray
    names: list
    categories: list[str]
    file: MaskFile | None = None


class MaskSource(ABC):
    """Base of the sources.

    Attributes:
        path: what was given as masks.
        images: the images of the job.
        tasks: the work, in the order of the masks.
        digest: changes when the masks do.
    """

    def __init__(self, path: str | os.PathLike, images: ImageTable):
        self.path = Path(path)
        self.images = images
        self.tasks: Sequence[MaskTask] = []
        self.digest = ''

    @abstractmethod
    def load(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        """Decode the masks of a task.

        Raises:
            OSError, ValueError: the masks cannot be read, or do not fit the image's size (H, W).
        """


class CocoMasks(MaskSource):
    """Masks of a COCO annotation file or results list.

    Attributes:
        file: the annotations or results.
    """

    def __init__(self, path: str | os.PathLike, images: ImageTable):
        super().__init__(path, images)
        self.file = CocoFile(path)
        self.digest = self.file.digest
        self._check_ids()
        self.tasks = _CocoTasks(self.file, images, self._find())

    def _check_ids(self) -> None:
        """Every id must be known, where a COCO file says which there are."""
        known = self.file.images or self.images.ids
        unknown = [image_id for image_id in self.file.image_ids if image_id not in known]
        if known and unknown:
            raise ValueError(
                f'{self.path} has masks of {len(unknown)} unknown images: image_id {_some(unknown)} '
                f'not among the images of {self.path if self.file.image_names else self.images.source}.'
            )

    def _find(self) -> list[str | None]:
        """The image of each id: by the name that the file has for it, else by the id."""
        image_ids, names = self.file.image_ids, self.file.image_names
        if self.images.is_single and len(image_ids) == 1:
            return list(self.images.names)
        matched = self.images.match(names[image_id] for image_id in image_ids if image_id in names)
        by_name = [matched.get(names.get(image_id, '')) for image_id in image_ids]
        if names and not self.images.ids:
            return by_name
        return [
            self.images.find_id(image_id) if image is None else image
            for image_id, image in zip(image_ids, by_name, strict=True)
        ]

    def load(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        records = self.file.read(task.refs)
        names = [record.get('id', index) for record, index in zip(records, task.refs, strict=True)]
        masks = np.zeros((len(records), *size_hw), bool)
        for mask, name, record in zip(masks, names, records, strict=True):
            try:
                decoded = self.file.mask_of(record, size_hw)
                mask[:] = False if decoded is None else decoded
            except ValueError as error:
                raise ValueError(f'mask {name}: {error}') from error
        categories = [self.file.categories.get(record.get('category_id'), '') for record in records]
        return CoarseMasks(masks, names, categories)


class _CocoTasks(Sequence):
    """The tasks of a COCO file, made when they are wanted: a million of them would fill the memory.

    Args:
        file: the records.
        images: where the images are.
        found: name of the image of each of the ``file.image_ids``; None if none was found.
    """

    def __init__(self, file: CocoFile, images: ImageTable, found: list[str | None]):
        self._file, self._images, self._found = file, images, found
        num_tasks = -(-file.counts() // MAX_MASKS_PER_TASK)
        self._numbers = np.repeat(np.arange(len(found), dtype=np.int32), num_tasks)
        self._firsts = np.cumsum(num_tasks) - num_tasks
        self._size = MAX_MASKS_PER_TASK

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> MaskTask:
        number = int(self._numbers[index])
        index %= len(self)
        image_id, image = self._file.image_ids[number], self._found[number]
        start = (index - int(self._firsts[number])) * self._size
        refs = tuple(self._file.records_of(image_id)[start : start + self._size])
        path = None if image is None else self._images.path(image)
        label = self._file.image_names.get(image_id, f'image_id {image_id}') if image is None else image
        return MaskTask(index, label, path, refs, len(refs))


class MaskFiles(MaskSource):
    """PNG masks, one per image."""

    masks_per_file: int | None = 1

    def __init__(self, path: str | os.PathLike, images: ImageTable):
        super().__init__(path, images)
        self.files = self.list_files(path)
        sizes = [(name, file.stat().st_size) for name, file in self.files.items()]
        self.digest = hashlib.sha256(repr(sizes).encode()).hexdigest()
        if images.is_single and len(self.files) == 1:
            matched = dict(zip(self.files, images.names, strict=True))
        else:
            matched = images.match(self.files)
        self.tasks = [
            MaskTask(index, image or name, image and images.path(image), (name,), self.masks_per_file)
            for index, (name, image) in enumerate(matched.items())
        ]

    @staticmethod
    def list_files(path: str | os.PathLike) -> dict[str, Path]:
        """Files by the name of what will be written for each."""
        return mask_paths(path)

    def load(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        file = self.read(task, size_hw)
        return CoarseMasks(file.binary()[None], [task.refs[0]], [''], file)

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> MaskFile:
        """The file of a task, checked to have the size of the image."""
        file = read_mask_file(self.files[task.refs[0]])
        return file.check_size(size_hw)


class LabelMaps(MaskFiles):
    """Label maps in PNG files: the masks are the regions of each label, named by it, labels in rising order.

    Args:
        ignore_label: void, which is left alone; None if there is none.
        background_label: what is no object and left to the others; None if every label is one.
    """

    masks_per_file = None

    def __init__(
        self,
        path: str | os.PathLike,
        images: ImageTable,
        ignore_label: int | None = VOID,
        background_label: int | None = 0,
    ):
        super().__init__(path, images)
        self.ignore_label, self.background_label = ignore_label, background_label

    def load(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        file = self.read(task, size_hw)
        masks, labels = split_label_map(file.labels(), background=self.background_label, void=self.ignore_label)
        return CoarseMasks(masks, labels.tolist(), [''] * len(labels), file)


def open_masks(
    masks: str | os.PathLike,
    images: str | os.PathLike,
    *,
    semantic: bool = False,
    ignore_label: int | None = VOID,
    background_label: int | None = 0,
    cam_threshold: float | None = None,
    image_root: str | os.PathLike | None = None,
) -> MaskSource:
    """The masks of a job, matched with its images.

    Args:
        masks: a COCO results list or annotation file, a PNG file, or a folder of PNG files (searched recursively).
        images: see :class:`ImageTable`.
        semantic: the PNG files are label maps.
        ignore_label, background_label: see :class:`LabelMaps`.
        cam_threshold: the masks are class activation maps, cut at this score; see
            :class:`~mmrefine.files.activation_map_source.ActivationMaps`.
        image_root: folder from which the names in a COCO file start, if ``images`` is one.

    Raises:
        FileNotFoundError: masks or images do not exist.
        ValueError: they are not what they should be, or none of the masks has an image.
    """
    if not Path(masks).exists():
        raise FileNotFoundError(f'masks {masks} do not exist: expected a COCO file, a PNG file or a folder of them.')
    if cam_threshold is not None and (semantic or Path(masks).suffix.lower() == '.json'):
        raise ValueError(f'activation maps are .npy and .npz files, neither a COCO file nor label maps, got {masks}.')
    if Path(masks).suffix.lower() == '.json':
        if semantic:
            raise ValueError(f'semantic goes with label maps in PNG files, got the COCO file {masks}.')
        source: MaskSource = CocoMasks(masks, ImageTable(images, image_root))
    elif cam_threshold is not None:
        from mmrefine.files.activation_map_source import ActivationMaps  # which extends this module

        source = ActivationMaps(masks, ImageTable(images, image_root), cam_threshold)
    else:
        exclude = frozenset(path.resolve() for path in mask_paths(masks).values())
        table = ImageTable(images, image_root, exclude)
        source = LabelMaps(masks, table, ignore_label, background_label) if semantic else MaskFiles(masks, table)
    if source.tasks and not any(task.image_path is not None and task.image_path.exists() for task in source.tasks):
        raise ValueError(
            f'none of the {len(source.tasks)} images that {masks} speaks of is under {images}: '
            f'looked for {_some([task.image for task in source.tasks])}. Names must agree, suffixes may differ.'
        )
    return source


def mask_paths(path: str | os.PathLike) -> dict[str, Path]:
    """PNG files by name: relative to the folder, or the one file's own.

    Raises:
        ValueError: there is none.
    """
    found = find_files(path, ('.png',))
    if not found:
        raise ValueError(f'{path} holds no masks: expected PNG files, or a COCO file that ends in .json.')
    return found


def _some(values: list) -> str:
    return ', '.join(map(str, values[:5])) + (', …' if len(values) > 5 else '')
