"""Base of the work of a job: tasks, their groups, and how each is loaded, refined and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.outputs import OutputFolder

SUMMARY = 'summary.json'
MAX_BATCH_PX = 2**25  # pixels of masks that are in memory at a time, several times over


class Progress(NamedTuple):
    """Units, masks and failures since the last report.

    Attributes:
        units, masks: how many.
        failed: ``{'task': index, 'name': ..., 'error': ...}`` for each task that was skipped.
    """

    units: int
    masks: int
    failed: list[dict]


class Share(NamedTuple):
    """A group of tasks that are refined together, and those of them that are left to do.

    Attributes:
        start, stop: of the group's indices.
        todo: indices.
        refine_all: refine the whole group again, whatever records exist.
    """

    start: int
    stop: int
    todo: tuple[int, ...]
    refine_all: bool = False


class Work(ABC):
    """Base of the work of a job; see :class:`~mmrefine.jobs.image_work.ImageWork`.

    Attributes:
        unit: what is counted, such as ``'images'``.
        tasks: each with ``index``, ``key`` (names it in every run) and ``name`` (for reports).
        choices: what the user chose that results depend on; a job goes on only with the same.
        refiner: digest of the choices, the refiner's config and its weights.
        about: further entries of the summary, such as names of inputs; results do not depend on it.
        workers: threads that load tasks ahead.
        reports_progress: :meth:`refine` itself calls ``on_progress``; otherwise it is called after each group.
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
        """Names of the files that are written when all tasks are done, but the summary."""

    def final_digest(self) -> str:
        """Digest of everything that the final files depend on besides the tasks."""
        return ''

    @abstractmethod
    def report_fingerprint(self, task: Any) -> Fingerprint:
        """Fingerprint of what a task's report depends on besides its masks, such as its ground truth."""

    @abstractmethod
    def load(self, task: Any) -> Any:
        """Read a task; called in threads."""

    def count(self, shares: Iterable[Share]) -> int:
        """Number of units in these shares."""
        return sum(len(share.todo) for share in shares)

    def size_px(self, loaded: Any) -> int:
        """Memory that refining a task takes, in pixels of masks."""
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
            done: gives tasks in order with their records; may be called several times.
            failed: as of :class:`Progress`, in the order of the tasks.
            head: entries of the summary.
        """

    @abstractmethod
    def read_report(self, summary: Path) -> Any:
        """The report of a job that was concluded."""


def error_text(error: Exception) -> str:
    """One line of an error, with its type unless the message was written for users.

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
