"""Base of the formats of masks: reading, writing, and pairing with ground truth.

**Adding a format is adding one file to this folder**: a subclass of :class:`MaskFormat` under
``@register_format('its-name')``, found without being imported anywhere else. It says

- which paths are of its kind (:meth:`MaskFormat.recognizes`; ``--format its-name`` insists),
- the work: ``self.tasks``, one :class:`MaskTask` per image, made in ``__init__`` (images are found with
  :meth:`~mmrefine.files.image_table.ImageTable.match`),
- how the masks of an image are decoded (:meth:`~MaskFormat.read`) and compared with earlier ones
  (:meth:`~MaskFormat.fingerprint`),
- and how they go out: either files of each image's own (:meth:`~MaskFormat.outputs` and
  :meth:`~MaskFormat.write`), or one file for all of them (:meth:`~MaskFormat.final_outputs` and
  :meth:`~MaskFormat.finish`).

Everything else is the engine's: batches, failures, going on after a kill, what is stale, where files may be written.
A record that cannot be used fails that mask alone: :meth:`CoarseMasks.mask` raises ``ValueError`` for it.

Legend: N masks of an image, H and W its size in pixels. Masks travel as RLE and are decoded one by one, so that memory
does not grow with N.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmrefine.core.regions import SPLITS, VOID
from mmrefine.files.activation_maps import DEFAULT_NAMES, MapNames
from mmrefine.files.image_table import ImageTable
from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.refined_masks import RefinedMasks

if TYPE_CHECKING:
    from mmrefine.jobs.outputs import OutputFolder

CROWD = 'crowd'


@dataclass(frozen=True)
class MaskTask:
    """The masks of one image.

    Attributes:
        index: place among the tasks.
        key: names the task among those of the job, in every run on these files; it does not depend on other images.
        image: the image's name in reports.
        image_path: where it is; None if no image was found.
        refs: where the masks are, as the format likes: indices of records, a name of a file.
        num_masks: how many there are; None if not known before reading.
        problem: why there is no image, where more can be said than that none was found.
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
        names: N names for reports: ids, labels or file names; they must go into JSON.
        categories: N names of categories, '' where unknown.
        left_alone: by index, why a shape is not refined although nothing is wrong with it: what it is instead of a
            mask, or ``CROWD``, a mask that is kept.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        names: Sequence[Any],
        categories: Sequence[str] | None = None,
        left_alone: dict[int, str] | None = None,
    ):
        self.size_hw = tuple(size_hw)
        self.names = list(names)
        self.categories = [''] * len(self.names) if categories is None else list(categories)
        self.left_alone = left_alone or {}

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def mask(self, index: int) -> np.ndarray:
        """Decode one mask: (H, W) bool.

        Raises:
            ValueError: it cannot be used, and why; its neighbours go on.
        """


@dataclass(frozen=True)
class MaskPair:
    """A mask before and after refinement, as it is reported.

    Attributes:
        name, category: for reports.
        coarse, refined: (H, W) bool; both empty where the coarse mask could not be used.
        score: the refiner's estimate of its proposal's quality, in [0, 1].
        accepted: the proposal was taken.
        reason: why not; '' if it was.
        failed: the coarse mask could not be used.
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
    """Ground truth of an image, for each of its reported masks.

    Attributes:
        mask: the (H, W) bool ground truth of the mask at a position; None where there is none.
        valid: (H, W) bool, pixels whose ground truth is known; None: all.
    """

    mask: Callable[[int, np.ndarray], np.ndarray | None]
    valid: np.ndarray | None = None


class GroundTruth(ABC):
    """Ground truth for all tasks of a format.

    Attributes:
        paths: files and folders that it is in.
    """

    paths: list[Path]

    @abstractmethod
    def fingerprint(self, task: MaskTask) -> Fingerprint:
        """Fingerprint of the ground truth of a task."""

    @abstractmethod
    def read(self, task: MaskTask, coarse: CoarseMasks) -> GroundTruthMasks:
        """The ground truth of a task.

        Raises:
            OSError, ValueError: it cannot be read, or does not fit the masks.
        """


@dataclass(frozen=True)
class FormatOptions:
    """Options of all formats of masks; see :func:`~mmrefine.jobs.formats.open_masks`."""

    semantic: bool = False
    ignore_label: int | None = VOID
    background_label: int | None = 0
    cam_threshold: float | None = None
    ignore_band: bool = False
    cam_names: MapNames = DEFAULT_NAMES
    split: str = SPLITS[0]
    polygons: float | None = None


class MaskFormat(ABC):
    """Masks of a set of images in files of one kind; see the module for how to add one.

    Args:
        path: what was given as masks; it exists.
        images: the images of the job.
        options: what the user said.

    Attributes:
        name: set by :func:`register_format`.
        is_fallback: other formats are tried first.
        ground_truth_format: the format as which its ground truth is recognized; '': its own.
        tasks: the work, in the order of the masks.
        choices: what a user chose that the refined masks depend on, in types of JSON.

    Raises:
        OSError, ValueError: it cannot be read, or none of it belongs to the images.
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
        """Whether masks at this path are of this format; reads no more than the beginning of a file."""

    @classmethod
    def files_at(cls, path: Path) -> frozenset[Path]:
        """Resolved paths of mask files that may be mistaken for images, where both are in one folder."""
        return frozenset()

    @abstractmethod
    def fingerprint(self, task: MaskTask) -> Fingerprint:
        """Fingerprint of the masks of a task, see :mod:`mmrefine.jobs.fingerprints`."""

    @abstractmethod
    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        """The masks of a task.

        Raises:
            OSError, ValueError: none of them can be read, or they do not fit the image's size (H, W).
        """

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        """(H, W) of a task's image from the masks' file; None if it is not given there."""
        return None

    def declared_name(self, task: MaskTask) -> str | None:
        """Name of a task's image as the masks' file has it; None if it does not say."""
        return None

    def without_masks(self) -> Iterable[tuple[str, tuple[int, int]]]:
        """Names and (H, W) of images that the masks' file describes, of which it has no masks: no task is theirs."""
        return ()

    def names_digest(self) -> str:
        """Digest of the names of masks in reports, such as names of categories."""
        return ''

    def final_digest(self) -> str:
        """Digest of everything that :meth:`finish` copies from the masks' files besides the masks."""
        return ''

    def outputs(self, task: MaskTask) -> list[str]:
        """Names of the files that :meth:`write` writes for a task, relative to the results folder."""
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
        """Write files with the masks of all tasks, coarse for tasks that are not done."""

    def open_ground_truth(self, path: Path) -> GroundTruth:
        """Ground truth of the same format, for these tasks.

        Raises:
            OSError, ValueError: it cannot be read, or none of it belongs to the masks.
        """
        raise ValueError(f'ground truth for {self.name} masks cannot be read; leave --gt out.')


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
        >>> with patch.dict(FORMATS):  # an example only: it does not stay
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
