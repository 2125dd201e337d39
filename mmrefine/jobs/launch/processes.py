"""One job in several processes that share a disk; the first one monitors the others and writes the final files."""

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
from mmrefine.jobs.progress import JobProgress, print_start
from mmrefine.jobs.shares import ShareRunner
from mmrefine.jobs.work import Progress, Share

_HEARTBEAT_S = 5.0
_TIMEOUT_S = 120.0  # network file systems may show files of other machines up to a minute late


class LostProcessError(RuntimeError):
    """Another process of the job has died or failed."""


def run_in_processes(job: Job, model: Any, overwrite: bool = False, progress: bool = True) -> Any:
    """Run or resume a job in all processes of the current process group.

    Args:
        job: a job that was not started.
        model: model of the work, see :meth:`~mmrefine.jobs.work.Work.refine`.
        overwrite: delete the results of an earlier job.
        progress: show progress on standard error.

    Returns:
        the report in the first process, None in the others.

    Raises:
        LostProcessError: another process has died; finished work is kept.
        ValueError, OutputError: see :meth:`~mmrefine.jobs.engine.Job.start` and
            :meth:`~mmrefine.jobs.engine.Job.refine`.
    """
    monitor = ProcessGroupMonitor(job.state / 'processes')

    def start() -> tuple[Any, list[Share]]:
        left = job.start(overwrite)
        return (job.report() if not left and job.is_concluded() else None), left

    with job, sigterm_as_interrupt():
        report, left = monitor.decide(start)
        if progress and monitor.is_first:
            print_start(len(job.work.tasks), sum(len(share.todo) for share in left), report is not None)
        if report is not None:
            return report if monitor.is_first else None
        with monitor, JobProgress(job.work.count(left), progress and monitor.is_first, job.work.unit) as bar:

            def on_progress(done: Progress) -> None:
                monitor.add(done)
                bar.show(*monitor.done())

            ShareRunner(job, model, on_progress).run(job.shards(left, monitor.size)[monitor.rank])
            failed = monitor.wait(bar.show)
            bar.show(*monitor.done())
        return job.conclude(failed) if monitor.is_first else None


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM, which cluster schedulers send, into KeyboardInterrupt, so that it is not taken for a crash."""
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
    """Status of one process, as it is written to disk.

    Attributes:
        heartbeats: counter that increases while the process is alive.
        units, masks: numbers done since the start.
        failed: see :class:`~mmrefine.jobs.work.Progress`; written at the end.
        end: None while the process runs, '' when its shares are done, else the error.
    """

    heartbeats: int = 0
    units: int = 0
    masks: int = 0
    failed: list[dict] = field(default_factory=list)
    end: str | None = None


class ProcessGroupMonitor:
    """Heartbeats of a job's processes: all except the first write their status to a file every few seconds.

    The first process thus notices if one was killed. The others do not wait for each other: a process exits when its
    shares are done.

    Args:
        folder: folder of the status files, on the shared disk.
    """

    def __init__(self, folder: Path):
        self.rank, self.size = get_dist_info()
        self.is_first = self.rank == 0
        self._folder = folder
        self._own = Status()
        self._others = {rank: Status() for rank in range(1, self.size)} if self.is_first else {}
        self._last_heartbeats = dict.fromkeys(self._others, time.monotonic())
        self._last_read = 0.0
        self._stopping = threading.Event()
        self._heartbeat_thread = threading.Thread(target=self._heartbeat, daemon=True)

    def decide(self, function: Callable[[], Any]) -> Any:
        """Call a function in the first process; return its result, or raise its error, in all processes.

        Must be called before the work starts, since it removes the status files of an earlier run.
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
            self._give_up(f'another process exited before the work began ({error})')
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def __enter__(self) -> ProcessGroupMonitor:
        self._last_heartbeats = dict.fromkeys(self._others, time.monotonic())
        if not self.is_first:
            self._heartbeat_thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._stopping.set()
        if not self.is_first:
            self._heartbeat_thread.join()
            self._own.end = '' if kind is None else str(error) or kind.__name__
            self._write_status(self._own)

    def add(self, done: Progress) -> None:
        """Add to the counts of this process."""
        self._own.units += done.units
        self._own.masks += done.masks
        self._own.failed += done.failed

    def done(self) -> tuple[int, int]:
        """Numbers of units and masks done by this process and, according to their last reports, by the others."""
        if time.monotonic() - self._last_read > min(_HEARTBEAT_S, 1.0):
            self._read_statuses()
        known = [self._own, *self._others.values()]
        return sum(status.units for status in known), sum(status.masks for status in known)

    def wait(self, show: Callable[[int, int], None]) -> list[dict]:
        """Wait, in the first process, until all processes are done; returns their failures."""
        self._read_statuses()
        while any(status.end is None for status in self._others.values()):
            time.sleep(min(_HEARTBEAT_S, 0.5))
            show(*self.done())
        self._read_statuses()
        return [failure for status in (self._own, *self._others.values()) for failure in status.failed]

    def _read_statuses(self) -> None:
        """Read the status files of the other processes.

        Raises:
            LostProcessError: one failed, or has not reported for too long.
        """
        self._last_read = time.monotonic()
        for rank, known in self._others.items():
            try:
                status = Status(**json.loads(self._path(rank).read_text(encoding='utf-8')))
            except (OSError, ValueError, TypeError):  # not written yet, or just being replaced
                status = known
            if status != known:
                self._others[rank], self._last_heartbeats[rank] = status, self._last_read
            silence_s = self._last_read - self._last_heartbeats[rank]
            if status.end:
                self._give_up(f'process {rank} of {self.size} has failed ({status.end})')
            elif status.end is None and silence_s > _TIMEOUT_S:
                self._give_up(f'process {rank} of {self.size} has not reported for {silence_s:.0f} s')

    @staticmethod
    def _give_up(what: str) -> None:
        raise LostProcessError(
            f'{what}; finished work is kept: run the same command again, with any number of processes.'
        )

    def _heartbeat(self) -> None:
        while not self._stopping.wait(_HEARTBEAT_S):
            self._own.heartbeats += 1
            try:
                self._write_status(Status(self._own.heartbeats, self._own.units, self._own.masks))
            except OutputError:  # if it persists, writing results raises it too
                continue

    def _write_status(self, status: Status) -> None:
        with whole_file(self._path(self.rank)) as file:
            json.dump(asdict(status), file)

    def _path(self, rank: int) -> Path:
        return self._folder / f'{rank}.json'
