"""One job in several processes that share a disk: each does its share, the first one watches and puts it together."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, get_dist_info

from mmrefine.files.atomic import OutputError, remove_results, whole_file
from mmrefine.jobs.engine import Job
from mmrefine.jobs.progress import JobProgress, tell_start
from mmrefine.jobs.work import Share, Step

_BEAT_S = 5.0
_PATIENCE_S = 120.0  # disks of clusters show files of other machines with up to a minute's delay


class LostProcessError(RuntimeError):
    """Another process of the job has died or failed; the text says which, and what to do."""


def run_in_processes(job: Job, model: Any, overwrite: bool = False, progress: bool = True) -> Any:
    """Do what is not done yet, in this process and those with which it shares a process group.

    Args:
        job: not started.
        model: what its work refines with.

    Returns:
        The report in the first process, None in the others.

    Raises:
        LostProcessError: another process has died; what is done is kept.
        ValueError, OutputError: as :meth:`~mmrefine.jobs.engine.Job.start` and ``refine`` say.
    """
    crew = ProcessGroupMonitor(job.state / 'processes')

    def begin() -> tuple[Any, list[Share]]:
        left = job.start(overwrite)
        return (job.report() if not left and job.is_concluded() else None), left

    with job, stopped_in_order():
        report, left = crew.decide(begin)
        if progress and crew.is_first:
            tell_start(len(job.work.tasks), sum(len(share.todo) for share in left), report is not None)
        if report is not None:
            return report if crew.is_first else None
        with crew, JobProgress(job.work.count(left), progress and crew.is_first, job.work.unit) as bar:

            def tell(step: Step) -> None:
                crew.add(step)
                bar.show(*crew.done())

            job.refine(model, job.shards(left, crew.size)[crew.rank], tell)
            failed = crew.wait(bar.show)
            bar.show(*crew.done())
        return job.conclude(failed) if crew.is_first else None


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """Being told to stop, as by a cluster's queue, ends the work in good order: nothing is to blame for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass
class Status:
    """How far a process is.

    Attributes:
        beats: rises as long as the process lives.
        units, masks: done since it was started.
        failed: see :class:`~mmrefine.jobs.work.Step`; told at the end.
        end: None while it works, '' when it has done its share, else what went wrong.
    """

    beats: int = 0
    units: int = 0
    masks: int = 0
    failed: list[dict] = field(default_factory=list)
    end: str | None = None


class ProcessGroupMonitor:
    """The processes of a job. All but the first write every few seconds into a file how far they are.

    So the first notices when one is gone, even if that process could not say a word, and nobody waits for it: whoever
    has done its share ends.

    Args:
        folder: for the files, on the shared disk.
    """

    def __init__(self, folder: Path):
        self.rank, self.size = get_dist_info()
        self.is_first = self.rank == 0
        self._folder = folder
        self._own = Status()
        self._others = {rank: Status() for rank in range(1, self.size)} if self.is_first else {}
        self._last_signs = dict.fromkeys(self._others, time.monotonic())
        self._last_look = 0.0
        self._leaving = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)

    def decide(self, function: Callable[[], Any]) -> Any:
        """What the first process makes of it, in all of them; its error is the error of all.

        Must be called before the work starts: it forgets the processes of an earlier run.
        """
        outcome = [None]
        if self.is_first:
            try:
                outcome = [function()]
                remove_results(self._folder)
            except (ValueError, OSError) as error:
                outcome = [error]
        try:
            broadcast_object_list(outcome)
        except RuntimeError as error:
            self._give_up(f'another process was gone before the work began ({error})')
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def __enter__(self) -> ProcessGroupMonitor:
        self._last_signs = dict.fromkeys(self._others, time.monotonic())
        if not self.is_first:
            self._pulse.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._leaving.set()
        if not self.is_first:
            self._pulse.join()
            self._own.end = '' if kind is None else str(error) or kind.__name__
            self._tell(self._own)

    def add(self, step: Step) -> None:
        """This process has done so much more."""
        self._own.units += step.units
        self._own.masks += step.masks
        self._own.failed += step.failed

    def done(self) -> tuple[int, int]:
        """Units and masks that this process, and the others as far as it has heard, have done."""
        if time.monotonic() - self._last_look > min(_BEAT_S, 1.0):
            self._look()
        known = [self._own, *self._others.values()]
        return sum(status.units for status in known), sum(status.masks for status in known)

    def wait(self, show: Callable[[int, int], None]) -> list[dict]:
        """Wait, in the first process, until all have done their share; answer with all that failed."""
        self._look()
        while any(status.end is None for status in self._others.values()):
            time.sleep(min(_BEAT_S, 0.5))
            show(*self.done())
        self._look()
        return [failure for status in (self._own, *self._others.values()) for failure in status.failed]

    def _look(self) -> None:
        """Read what the others tell.

        Raises:
            LostProcessError: one failed, or has been silent for too long.
        """
        self._last_look = time.monotonic()
        for rank, known in self._others.items():
            try:
                status = Status(**json.loads(self._path(rank).read_text(encoding='utf-8')))
            except (OSError, ValueError, TypeError):  # not there yet, or just being replaced
                status = known
            if status != known:
                self._others[rank], self._last_signs[rank] = status, self._last_look
            silence_s = self._last_look - self._last_signs[rank]
            if status.end:
                self._give_up(f'process {rank} of {self.size} has failed ({status.end})')
            elif status.end is None and silence_s > _PATIENCE_S:
                self._give_up(f'process {rank} of {self.size} was not heard of for {silence_s:.0f} s, so it was killed')

    @staticmethod
    def _give_up(what: str) -> None:
        raise LostProcessError(
            f'{what}; what is done is kept: start the same command again, with as many processes as you like.'
        )

    def _beat(self) -> None:
        while not self._leaving.wait(_BEAT_S):
            self._own.beats += 1
            try:
                self._tell(Status(self._own.beats, self._own.units, self._own.masks))
            except OutputError:  # if it lasts, the work itself meets it and says so
                continue

    def _tell(self, status: Status) -> None:
        with whole_file(self._path(self.rank)) as file:
            json.dump(asdict(status), file)

    def _path(self, rank: int) -> Path:
        return self._folder / f'{rank}.json'
