"""Base class of the work of a job: its tasks and groups, and how a task is loaded, refined and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.outputs import OutputFolder

SUMMARY = 'summary.json'
MAX_BATCH_PX = 2**25  # maximum pixels of masks in a batch; memory holds several copies


class Progress(NamedTuple):
    """Units, masks and failures since the last report.

    Attributes:
        units, masks: numbers done.
        failed: ``{'task': index, 'name': ..., 'error': ...}`` for each task that was skipped.
    """

    units: int
    masks: int
    failed: list[dict]


class Share(NamedTuple):
    """A group of tasks that are refined together.

    Attributes:
        start, stop: range of the tasks' indices.
        todo: indices of the tasks that are left to do.
        refine_all: refine the whole group again, even if there are records.
    """

    start: int
    stop: int
    todo: tuple[int, ...]
    refine_all: bool = False


class Loaded(NamedTuple):
    """A loaded task, with the fingerprints of its inputs, and its masks if it was refined before."""

    task: Any
    item: Any
    inputs: dict
    masks: dict | None


class Work(ABC):
    """Base class of the work of a job; see :class:`~mmrefine.jobs.image_work.ImageWork`.

    Attributes:
        unit: name of the units of progress, such as ``'images'``.
        tasks: tasks with ``index``, ``key`` (the same in every run) and ``name`` (for reports).
        choices: user's choices that results depend on; a job resumes only with the same.
        refiner: digest of the choices, the refiner's config and its weights.
        about: further entries of the summary, such as paths of inputs, that results do not depend on.
        workers: number of threads that load tasks ahead.
        reports_progress: whether :meth:`refine` calls ``on_progress``; otherwise it is called after each batch.
    """

    unit: str
    tasks: Sequence[Any]
    choices: dict[str, Any]
    refiner: str
    about: dict[str, Any]
    workers: int = 1
    reports_progress: bool = False

    @abstractmethod
    def groups(self) -> Iterable[range]:
        """Indices of tasks that are refined together; the same in every run on the same tasks."""

    @abstractmethod
    def paths(self) -> Iterable[tuple[str, Path]]:
        """Roles and paths of the user's inputs, which results must not overwrite."""

    @abstractmethod
    def inputs(self, task: Any) -> dict[str, Fingerprint]:
        """Fingerprints of what the refined masks of a task depend on, by name."""

    @abstractmethod
    def outputs(self, task: Any) -> list[str]:
        """Names of the files that are written for a task."""

    @abstractmethod
    def final_outputs(self) -> list[str]:
        """Names of the files that are written when all tasks are done, except the summary."""

    def final_digest(self) -> str:
        """Digest of everything that the final files depend on besides the tasks."""
        return ''

    @abstractmethod
    def report_fingerprint(self, task: Any) -> Fingerprint:
        """Fingerprint of what a task's report depends on besides its masks, such as its ground truth."""

    @abstractmethod
    def load(self, task: Any) -> Any:
        """Load the inputs of a task; called in threads."""

    def count(self, shares: Iterable[Share]) -> int:
        """Number of units in these shares."""
        return sum(len(share.todo) for share in shares)

    def size_px(self, loaded: Any) -> int:
        """Memory needed to refine a task, in pixels of masks."""
        return 0

    @abstractmethod
    def refine(self, model: Any, loaded: list[Any], on_progress: Callable[[Progress], None]) -> list[dict | Exception]:
        """Refine tasks together; returns the masks of each for its record, or the error."""

    @abstractmethod
    def deliver(self, loaded: Any, masks: dict, out: OutputFolder) -> dict:
        """Write the files of a task; returns its part of the report as JSON values."""

    @abstractmethod
    def conclude(
        self, done: Callable[[], Iterator[tuple[Any, dict]]], failed: list[dict], head: dict, out: OutputFolder
    ) -> Any:
        """Write the final files and the summary.

        Args:
            done: iterates over tasks in order with their records; may be called several times.
            failed: failures as in :class:`Progress`, in the order of the tasks.
            head: entries of the summary.
            out: the output folder.

        Returns:
            the report.
        """

    @abstractmethod
    def read_report(self, summary: Path) -> Any:
        """Read the report of a concluded job."""


def error_text(error: Exception) -> str:
    """Message of an error in one line, with its type if it is not of a type that is raised for users.

    Example:
        >>> error_text(ValueError('no masks')), error_text(KeyError('masks'))
        ('no masks', "KeyError: 'masks'")
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # without its number
        text = ': '.join(str(part) for part in (error.filename, error.strerror) if part is not None)
    text = ' '.join(text.split()) or type(error).__name__
    if not isinstance(error, (OSError, ValueError, TypeError, MemoryError, ImportError, RuntimeError)):
        text = f'{type(error).__name__}: {text}'
    return short(text, 1000)


def short(value: Any, length: int = 40) -> str:
    """Shorten a text."""
    text = str(value)
    return text if len(text) <= length else text[: length - 3] + '...'
