"""Execution of shares of a job: loads ahead, refines in batches, and finds tasks that crash the process."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmrefine.files.atomic import OutputError
from mmrefine.jobs.engine import Job
from mmrefine.jobs.work import MAX_BATCH_PX, Loaded, Progress, Share, error_text

_MAX_ATTEMPTS = 2


class ShareRunner:
    """Executes shares of a job in this process.

    Args:
        job: a job that was started.
        model: the model of its work.
        on_progress: called with everything that was done.
    """

    def __init__(self, job: Job, model: Any, on_progress: Callable[[Progress], None]):
        self.job, self.model, self.on_progress = job, model, on_progress
        self.work, self.attempts = job.work, job.attempts

    def run(self, shares: list[Share]) -> None:
        """Execute shares; those during which a process has died come first.

        Raises:
            OutputError: a result cannot be written.
        """
        suspects = [share for share in shares if self._deaths(share)]
        for share in suspects:
            self._refine_suspect(share)
        self._refine_ahead([share for share in shares if share not in suspects])

    def _deaths(self, share: Share) -> int:
        return self.attempts.begun(self.job.keys_of(share))

    def _refine_ahead(self, shares: list[Share]) -> None:
        """Execute shares in order; a few tasks are loaded while earlier ones are refined."""
        upcoming = ((share, self.work.tasks[index]) for share in shares for index in share.todo)
        begun: deque[Share] = deque()
        ahead: deque[tuple[Any, Future]] = deque()

        def submit_next() -> bool:
            share, task = next(upcoming, (None, None))
            if share is None:
                return False
            # Loading may crash the process too, so the share is marked before.
            if not begun or begun[-1] is not share:
                begun.append(share)
                self.attempts.begin(self.job.keys_of(share), 1)
            ahead.append((task, pool.submit(self._load, task)))
            return True

        def loads(share: Share) -> Iterator[tuple[Any, Future]]:
            for _ in share.todo:
                while len(ahead) <= self.work.workers and submit_next():
                    pass
                yield ahead.popleft()

        with ThreadPoolExecutor(self.work.workers) as pool:
            try:
                for share in shares:
                    self._do(share, loads(share))
                    self.attempts.end(self.job.keys_of(begun.popleft()))
            except BaseException:
                # An exception is not a crash: counts are reset. Only the first group may be half done.
                for position, share in enumerate(begun):
                    if position == 0:
                        self.attempts.begin(self.job.keys_of(share), 0)
                    else:
                        self.attempts.end(self.job.keys_of(share))
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _refine_suspect(self, share: Share) -> None:
        """Execute a share during which a process has died: each task is tried alone first, to find the culprit."""
        keys = self.job.keys_of(share)
        deaths = self.attempts.begun(keys)
        alone = [self.work.tasks[index] for index in share.todo]
        bad = [task for task in alone if deaths + self._deaths_of(task, keys) >= _MAX_ATTEMPTS]
        good = [task for task in alone if task not in bad]
        self.on_progress(Progress(len(bad), 0, [_failure(task, _ProcessDiedError(self.job.state)) for task in bad]))
        if len(keys) > 1:
            for task in good:
                with self._attempt([task.key], 1):
                    self._try(task)
        with self._attempt(keys, deaths + 1 if len(keys) == 1 else deaths):
            self._do(share, ((task, _loaded_now(self._load, task)) for task in good))
        if bad:
            self.attempts.begin(keys, deaths)

    def _deaths_of(self, task: Any, keys: list[str]) -> int:
        return 0 if len(keys) == 1 else self.attempts.begun([task.key])

    @contextlib.contextmanager
    def _attempt(self, keys: list[str], count: int) -> Iterator[None]:
        before = self.attempts.begun(keys)
        self.attempts.begin(keys, count)
        try:
            yield
        except BaseException:
            self.attempts.begin(keys, before)
            raise
        self.attempts.end(keys)

    def _try(self, task: Any) -> None:
        """Load and refine a task, and discard the result or error."""
        with contextlib.suppress(Exception):
            self._run_refiner([self._load(task)[0]], lambda progress: None)

    def _load(self, task: Any) -> tuple[Any, dict]:
        """Load a task, with the fingerprints of its inputs."""
        inputs = {name: fingerprint.as_json() for name, fingerprint in self.work.inputs(task).items()}
        return self.work.load(task), inputs

    def _do(self, share: Share, loads: Iterable[tuple[Any, Future]]) -> None:
        """Refine and deliver the tasks of a share, in batches that fit into memory."""
        batch: list[Loaded] = []
        size_px = 0
        for task, future in loads:
            try:
                item, inputs = future.result()
                record = None if share.refine_all else self.job.valid_record(task)
            except Exception as error:
                self.on_progress(Progress(0 if self.work.reports_progress else 1, 0, [self._failed(task, error)]))
                continue
            more_px = self.work.size_px(item)
            if batch and size_px + more_px > MAX_BATCH_PX:
                self._do_batch(batch)
                batch, size_px = [], 0
            batch.append(Loaded(task, item, inputs, None if record is None else record['masks']))
            size_px += more_px
        self._do_batch(batch)

    def _do_batch(self, batch: list[Loaded]) -> None:
        fresh = iter(self._refine([loaded.item for loaded in batch if loaded.masks is None]))
        failed, num_masks = [], 0
        for loaded in batch:
            masks = next(fresh) if loaded.masks is None else loaded.masks
            try:
                if isinstance(masks, Exception):
                    raise masks
                num_masks += self.job.deliver(loaded, masks)
            except OutputError:
                raise
            except Exception as error:
                failed.append(self._failed(loaded.task, error))
        self.on_progress(
            Progress(0, 0, failed) if self.work.reports_progress else Progress(len(batch), num_masks, failed)
        )

    def _refine(self, items: list[Any]) -> list[dict | Exception]:
        """Masks or the error of each item; if a batch fails, its items are refined one by one."""
        if not items:
            return []
        try:
            return self._run_refiner(items, self.on_progress)
        except OutputError:
            raise
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [result for item in items for result in self._refine([item])]

    def _run_refiner(self, items: list[Any], on_progress: Callable[[Progress], None]) -> list[dict | Exception]:
        try:
            return self.work.refine(self.model, items, on_progress)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # such as of sys.exit in a custom refiner
            raise RuntimeError(f'the refiner raised {type(error).__name__}({error}).') from error

    def _failed(self, task: Any, error: Exception) -> dict:
        if self.job.debug:
            traceback.print_exception(error, file=sys.stderr)
        return _failure(task, error)


class _ProcessDiedError(RuntimeError):
    """The process died repeatedly while refining a task."""

    def __init__(self, state: Path):
        super().__init__(
            f'the process died {_MAX_ATTEMPTS} times while refining it, for example because memory ran out; delete '
            f'{state / "attempts"}, or use --overwrite, to try it again.'
        )


def _failure(task: Any, error: Exception) -> dict:
    return {'task': task.index, 'name': task.name, 'error': error_text(error)}


def _loaded_now(load: Callable[[Any], Any], task: Any) -> Future:
    future: Future = Future()
    try:
        future.set_result(load(task))
    except Exception as error:
        future.set_exception(error)
    return future
