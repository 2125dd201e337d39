"""Base class of formats of mask files: reading, writing, and pairing with ground truth.

To add a format, add one module to this folder with a subclass of :class:`MaskFormat` under
``@register_format('its-name')``; it is imported automatically. The class defines

- which paths have this format (:meth:`MaskFormat.recognizes`; ``--format its-name`` selects it explicitly),
- the tasks: ``self.tasks``, one :class:`MaskTask` per image, set in ``__init__``
  (:meth:`~mmrefine.files.image_table.ImageTable.match` finds images),
- how the masks of an image are read (:meth:`~MaskFormat.read`), and their fingerprint
  (:meth:`~MaskFormat.fingerprint`),
- how refined masks are written: either files for each image (:meth:`~MaskFormat.outputs` and
  :meth:`~MaskFormat.write`), or one file for all images (:meth:`~MaskFormat.final_outputs` and
  :meth:`~MaskFormat.finish`).

The engine does everything else: batches, failures, resuming, detection of outdated results, atomic writing. If a mask
cannot be used, :meth:`CoarseMasks.mask` raises ``ValueError``, and only this mask fails.

Legend: N masks of an image, H and W its size in pixels. Masks are passed on as RLE and decoded one by one, so that
memory does not grow with N.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmrefine.core.regions import SPLITS, VOID
from mmrefine.files.activation_maps import DEFAULT_NAMES, MapNames
from mmrefine.files.image_table import ImageTable
from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

CROWD = 'crowd'


@dataclass(frozen=True)
class MaskTask:
    """The masks of one image.

    Attributes:
        index: index among the tasks.
        key: identifies the task in every run on these files; does not depend on other images.
        image: name of the image in reports.
        image_path: path of the image; None if it was not found.
        refs: where the masks are, defined by the format: indices of records, names of files.
        num_masks: number of masks; None if unknown before reading.
        problem: why the image cannot be used; '' if there is no specific reason.
    """

    index: int
    key: str
    image: str
    image_path: Path | None
    refs: tuple
    num_masks: int | None = None
    problem: str = ''

    @property
    def name(self) -> str:
        """Name of the task in reports."""
        return self.image


class CoarseMasks(ABC):
    """The N coarse masks of an image, decoded on demand.

    Attributes:
        size_hw: (H, W).
        names: N names for reports: ids, labels or file names; JSON values.
        categories: N names of categories, '' where unknown.
        left_alone: by index, why a valid shape is not refined: its type if it is not a mask, or ``CROWD``.
        scores: N confidences of the model that made the masks, None where unknown.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        names: Sequence[Any],
        categories: Sequence[str] | None = None,
        left_alone: dict[int, str] | None = None,
        scores: Sequence[Any] | None = None,
    ):
        self.size_hw = tuple(size_hw)
        self.names = list(names)
        self.categories = [''] * len(self.names) if categories is None else list(categories)
        self.left_alone = left_alone or {}
        self.scores = [score if is_score(score) else None for score in scores or [None] * len(self.names)]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def mask(self, index: int) -> np.ndarray:
        """Decode one mask: (H, W) bool.

        Raises:
            ValueError: it cannot be used; the message tells why. Other masks are not affected.
        """


@dataclass(frozen=True)
class MaskPair:
    """A mask before and after refinement, for reports.

    Attributes:
        name, category: see :class:`CoarseMasks`.
        coarse, refined: (H, W) bool; both empty if the coarse mask is unusable.
        score: the refiner's estimate of the IoU of the resulting mask, in [0, 1].
        accepted: whether the proposal was accepted.
        reason: why it was not; '' if it was.
        failed: whether the coarse mask is unusable.
    """

    name: Any
    category: str
    coarse: np.ndarray
    refined: np.ndarray
    score: float
    accepted: bool
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class GroundTruthMasks:
    """Ground truth of the reported masks of an image.

    Attributes:
        mask: returns the (H, W) bool ground truth of a mask, given its position and the coarse mask; None if there is
            none.
        valid: (H, W) bool, pixels whose ground truth is known; None: all.
    """

    mask: Callable[[int, np.ndarray], np.ndarray | None]
    valid: np.ndarray | None = None


class GroundTruth(ABC):
    """Ground truth for all tasks of a job.

    Attributes:
        paths: its files and folders.
    """

    paths: list[Path]

    @abstractmethod
    def fingerprint(self, task: MaskTask) -> Fingerprint:
        """Fingerprint of the ground truth of a task."""

    @abstractmethod
    def read(self, task: MaskTask, coarse: CoarseMasks) -> GroundTruthMasks:
        """The ground truth of a task.

        Raises:
            OSError, ValueError: it cannot be read, or does not match the masks.
        """


@dataclass(frozen=True)
class FormatOptions:
    """Options of all formats; see :func:`~mmrefine.jobs.refine_dataset`."""

    semantic: bool = False
    ignore_label: int | None = VOID
    background_label: int | None = 0
    cam_threshold: float | None = None
    ignore_band: bool = False
    cam_names: MapNames = DEFAULT_NAMES
    split: str = SPLITS[0]
    polygons: float | None = None
    crowds: bool = False


class MaskFormat(ABC):
    """Base class of formats: the masks of a set of images. The module docstring explains how to add one.

    Args:
        path: existing file or folder of masks.
        images: the images of the job.
        options: the user's options.

    Attributes:
        name: set by :func:`register_format`.
        is_fallback: whether other formats are tried first.
        ground_truth_format: format as which its ground truth is recognized; '': its own.
        tasks: the tasks, in the order of the masks.
        choices: the user's choices that refined masks depend on, JSON values.

    Raises:
        OSError, ValueError: the masks cannot be read, or none of them belongs to an image.
    """

    name: ClassVar[str] = ''
    is_fallback: ClassVar[bool] = False
    ground_truth_format: ClassVar[str] = ''

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        self.path, self.images, self.options = Path(path), images, options
        self.tasks: Sequence[MaskTask] = []
        self.choices: dict[str, Any] = {}

    @classmethod
    @abstractmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        """Whether masks at this path have this format; reads at most the beginning of a file."""

    @classmethod
    def files_at(cls, path: Path) -> frozenset[Path]:
        """Resolved paths of mask files that could be mistaken for images in the same folder."""
        return frozenset()

    @abstractmethod
    def fingerprint(self, task: MaskTask) -> Fingerprint:
        """Fingerprint of the masks of a task, see :mod:`mmrefine.jobs.fingerprints`."""

    @abstractmethod
    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        """Read the masks of a task.

        Raises:
            OSError, ValueError: none of them can be read, or they do not match the image's size (H, W).
        """

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        """(H, W) of a task's image as in the file of masks; None if it does not contain it."""
        return None

    def declared_name(self, task: MaskTask) -> str | None:
        """Name of a task's image as in the file of masks; None if it does not contain it."""
        return None

    def without_masks(self) -> Iterable[tuple[str, tuple[int, int]]]:
        """Names and (H, W) of images in the file of masks that have no masks, and therefore no task."""
        return ()

    def names_digest(self) -> str:
        """Digest of the names of masks in reports, such as names of categories."""
        return ''

    def final_digest(self) -> str:
        """Digest of everything except masks that :meth:`finish` copies from the file of masks."""
        return ''

    def outputs(self, task: MaskTask) -> list[str]:
        """Names of the files that :meth:`write` writes for a task, relative to the output folder."""
        return []

    def write(
        self, task: MaskTask, coarse: CoarseMasks, refined: RefinedMasks, out: OutputFolder
    ) -> Iterable[MaskPair]:
        """Write the files of a task, and return each of its masks once."""
        return pairs(coarse, refined)

    def final_outputs(self) -> list[str]:
        """Names of the files that :meth:`finish` writes."""
        return []

    def finish(self, done: Iterable[tuple[MaskTask, RefinedMasks]], out: OutputFolder) -> None:  # noqa: B027
        """Write files with the masks of all tasks; tasks that are not done keep their coarse masks."""

    def open_ground_truth(self, path: Path) -> GroundTruth:
        """Ground truth of the same format, for these tasks.

        Raises:
            OSError, ValueError: it cannot be read, or matches none of the masks.
        """
        raise ValueError(f'ground truth of the format {self.name} is not supported; omit --gt.')


def is_score(value: Any) -> bool:
    """Whether a value from a file is a confidence: a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def pairs(coarse: CoarseMasks, refined: RefinedMasks) -> Iterator[MaskPair]:
    """Masks of an image before and after refinement, one by one."""
    for index, name in enumerate(coarse.names):
        item = refined[index]
        before = np.zeros(coarse.size_hw, bool) if item.failed else coarse.mask(index)
        after = item.decode() if item.accepted else before
        yield MaskPair(
            name, coarse.categories[index], before, after, item.score, item.accepted, item.reason, item.failed
        )


FORMATS: dict[str, type[MaskFormat]] = {}


def register_format(name: str) -> Callable[[type[MaskFormat]], type[MaskFormat]]:
    """Register a subclass of :class:`MaskFormat` under a name.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(FORMATS):  # removes the example again
        ...     @register_format('my_masks')
        ...     class MyMasks(MaskFormat):
        ...         pass
        ...     FORMATS['my_masks'].name
        'my_masks'
    """

    def register(kind: type[MaskFormat]) -> type[MaskFormat]:
        if name in FORMATS and FORMATS[name].__qualname__ != kind.__qualname__:
            raise ValueError(f'the format {name!r} is already registered: {FORMATS[name]}.')
        kind.name = name
        FORMATS[name] = kind
        return kind

    return register
