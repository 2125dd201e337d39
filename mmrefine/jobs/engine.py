"""The engine of every job: what there is to do, doing it, putting it together; going on where it stopped.

A job is started once, alone; then any number of processes refine groups of its tasks, in any order; it is concluded
once, alone. What is done to a task, an image or a clip, is the business of its :class:`Work`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from mmrefine.files.atomic import OutputError, remove_results, whole_file
from mmrefine.files.manifest import JOB_FOLDER
from mmrefine.jobs.fingerprints import Fingerprint, digest_of
from mmrefine.jobs.lock import Lock
from mmrefine.jobs.outputs import OutputFolder, check_apart, check_names
from mmrefine.jobs.records import Attempts, Records

SUMMARY = 'summary.json'
LABEL_QUALITY = 'label_quality.json'  # see mmrefine.jobs.cam
_RESERVED = (LABEL_QUALITY, JOB_FOLDER)
MAX_BATCH_PX = 2**26  # pixels of masks that are in memory at a time, several times over
_MAX_ATTEMPTS = 2
_SETTLE_S = 60.0  # disks of clusters show files of other machines with some delay


class Step(NamedTuple):
    """What was done of a job at a time.

    Attributes:
        units, masks: how many.
        failed: ``{'task': index, 'name': ..., 'error': ...}`` for each task that was skipped.
    """

    units: int
    masks: int
    failed: list[dict]


class Share(NamedTuple):
    """A group of tasks that are refined together, and which of them are to be done.

    Attributes:
        start, stop: of the group's indices.
        todo: indices.
        anew: all of the group is refined again.
    """

    start: int
    stop: int
    todo: tuple[int, ...]
    anew: bool = False


class _Loaded(NamedTuple):
    """A task, what was read of it, the fingerprints of that, and its masks if it was refined before."""

    task: Any
    item: Any
    inputs: dict
    masks: dict | None


class Work(ABC):
    """What a job does to its tasks; see :class:`~mmrefine.jobs.image_work.ImageWork`.

    Attributes:
        unit: what is counted, such as ``'images'``.
        tasks: each with ``index``, ``key`` (names it in every run) and ``name`` (for reports).
        choices: what the user chose that results depend on; a job goes on only with the same.
        refiner: digest of the choices, the refiner's config and its weights.
        about: what the summary says besides about the job, such as names of inputs; results do not depend on it.
        workers: threads that load tasks ahead.
        tells_progress: :meth:`refine` tells itself how far it is.
    """

    unit: str
    tasks: Sequence[Any]
    choices: dict[str, Any]
    refiner: str
    about: dict[str, Any]
    workers: int = 1
    tells_progress: bool = False

    @abstractmethod
    def groups(self) -> Iterable[range]:
        """Indices of tasks that are refined together; the same in every run on the same tasks."""

    @abstractmethod
    def paths(self) -> Iterable[tuple[str, Path]]:
        """What the user's inputs are called, and where they are; no result may touch them."""

    @abstractmethod
    def inputs(self, task: Any) -> dict[str, Fingerprint]:
        """What the refined masks of a task depend on, by name."""

    @abstractmethod
    def outputs(self, task: Any) -> list[str]:
        """Names of the files that are written for a task."""

    @abstractmethod
    def final_outputs(self) -> list[str]:
        """Names of the files that are written when all tasks are done, but the summary."""

    def final_digest(self) -> str:
        """Changes with all that the final files depend on besides the tasks."""
        return ''

    @abstractmethod
    def told_of(self, task: Any) -> Fingerprint:
        """What a task's report depends on besides its masks, such as its ground truth."""

    @abstractmethod
    def load(self, task: Any) -> Any:
        """Read a task; called in threads."""

    def count(self, shares: Iterable[Share]) -> int:
        """How many units these are."""
        return sum(len(share.todo) for share in shares)

    def size_px(self, loaded: Any) -> int:
        """How much memory refining a task takes, in pixels of masks."""
        return 0

    @abstractmethod
    def refine(self, model: Any, loaded: list[Any], tell: Callable[[Step], None]) -> list[dict | Exception]:
        """Refine tasks together: of each what a record keeps of its masks, or what kept it from being refined."""

    @abstractmethod
    def deliver(self, loaded: Any, masks: dict, out: OutputFolder) -> dict:
        """Write the files of a task; what the report wants to know of it, in types of JSON."""

    @abstractmethod
    def conclude(
        self, done: Callable[[], Iterator[tuple[Any, dict]]], failed: list[dict], head: dict, out: OutputFolder
    ) -> Any:
        """Write the final files and the summary.

        Args:
            done: gives tasks in order with their records; may be called several times.
            failed: as of :class:`Step`, in the order of the tasks.
            head: what goes into the summary as it is.
        """

    @abstractmethod
    def read_report(self, summary: Path) -> Any:
        """The report of a job that was concluded."""


class Job:
    """A work, and the folder that its results are in; a context that frees the folder at its end.

    Args:
        work: what is done.
        out: folder for the results.
        debug: show where in the code what made a task fail was raised.

    Attributes:
        on_start: called when the folder is this run's.
    """

    def __init__(self, work: Work, out: str | Path, debug: bool = False):
        self.work, self.out, self.debug = work, OutputFolder(out), debug
        self.state = self.out.state
        self.records, self.attempts = Records(self.state), Attempts(self.state)
        self._lock: Lock | None = None
        self.on_start: Callable[[], None] | None = None

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None
            for folder in (self.state, self.out.root):  # of a job that was refused
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_lock': None}  # it stays in the process that took it

    # ---- start ----

    def start(self, overwrite: bool = False) -> list[Share]:
        """Make the folder ready, alone; what is left to do.

        Raises:
            ValueError: results would touch inputs, or the folder holds results of a job with other choices.
            OutputError: another run is at work in the folder, or it cannot be written to.
        """
        check_names([*self._final_outputs(), *_RESERVED])
        check_apart(self.out, self._all_outputs(), self.work.paths())
        lock = Lock(self.state / 'lock')
        lock.__enter__()
        self._lock = lock
        self.out = OutputFolder(self.out.root)  # as the run that had the lock before has left it
        self.out.claim(self._written())
        self.out.check_free(self._all_outputs())
        if overwrite:
            self.out.clear()
            self.records = Records(self.state)
        else:
            check_choices(self._known_choices(), self.work.choices, self.out.root)
        self.out.plan(self._all_outputs())
        with whole_file(self.state / 'settings.json') as file:
            json.dump({'choices': self.work.choices, 'refiner': self.work.refiner}, file)
        if self.on_start is not None:
            self.on_start()
        return list(self._left())

    def is_concluded(self) -> bool:
        """Whether the final files are those of the tasks as they are."""
        try:
            known = json.loads((self.state / 'final.json').read_text(encoding='utf-8'))
            files = known['files']
            return known['of'] == self._all_tasks() and all(
                self.out.digest(name) == files[name] for name in self._final_outputs()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def report(self) -> Any:
        """Of a job that :meth:`is_concluded`."""
        return self.work.read_report(self.out.root / SUMMARY)

    def _written(self) -> Iterator[tuple[str, str]]:
        """Names and digests of the results that were written, as far as is known."""
        known = [record.get('delivered') for record in self.records]
        with contextlib.suppress(OSError, ValueError):
            known.append(json.loads((self.state / 'final.json').read_text(encoding='utf-8')))
        for item in known:
            files = item.get('files') if isinstance(item, dict) else None
            if isinstance(files, dict):
                yield from files.items()

    def _final_outputs(self) -> list[str]:
        return [*self.work.final_outputs(), SUMMARY]

    def _all_outputs(self) -> Iterator[str]:
        yield from self._final_outputs()
        for task in self.work.tasks:
            yield from self.work.outputs(task)

    def _all_tasks(self) -> str:
        """Changes with the tasks and with the results that are wanted of them."""
        digest = hashlib.sha256(digest_of([self.work.refiner, self.work.final_digest()]).encode())
        for task in self.work.tasks:
            digest.update(digest_of([task.key, self.work.outputs(task)]).encode())
        return digest.hexdigest()

    def _known_choices(self) -> dict | None:
        try:
            choices = json.loads((self.state / 'settings.json').read_text(encoding='utf-8'))['choices']
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none, or damaged; every record tells its own
        return choices if isinstance(choices, dict) else None

    def _left(self) -> Iterator[Share]:
        for group in self.work.groups():
            # Rounding may depend on what else is in a batch: a group that was left half done is done whole again.
            if self.attempts.has(self._keys(group)):
                yield Share(group.start, group.stop, tuple(group), anew=True)
                continue
            todo = tuple(index for index in group if not self._is_done(self.work.tasks[index]))
            if todo:
                yield Share(group.start, group.stop, todo)

    def _keys(self, group: Iterable[int]) -> list[str]:
        return [self.work.tasks[index].key for index in group]

    # ---- what is done ----

    def _is_done(self, task: Any) -> bool:
        record = self._valid_record(task)
        return record is not None and self._is_delivered(task, record)

    def _valid_record(self, task: Any) -> dict | None:
        """What was made of a task; None if it was not refined as it is now."""
        record = self.records.read(task.key)
        if record is None or record.get('refiner') != self.work.refiner:
            return None
        known = record.get('inputs')
        try:
            inputs = self.work.inputs(task)
            same = isinstance(known, dict) and all(inputs[name].agrees(known.get(name)) for name in inputs)
        except (OSError, ValueError):
            return None
        return record if same and isinstance(record.get('masks'), dict) else None

    def _is_delivered(self, task: Any, record: dict) -> bool:
        delivered = record.get('delivered')
        if not isinstance(delivered, dict) or not isinstance(delivered.get('files'), dict):
            return False
        names, files = self.work.outputs(task), delivered['files']
        if any(self.out.digest(name) != files.get(name, '') for name in names):
            return False
        try:
            return self.work.told_of(task).agrees(delivered.get('told_of'))
        except (OSError, ValueError):
            return False

    # ---- refine ----

    def still_left(self, shares: Iterable[Share]) -> list[Share]:
        """Of these shares what another process, which is gone, has not done."""
        left = []
        for share in shares:
            todo = tuple(share.todo)
            if not (share.anew or self.attempts.has(self._keys_of(share))):
                todo = tuple(index for index in todo if not self._is_done(self.work.tasks[index]))
            if todo:
                left.append(share._replace(todo=todo))
        return left

    def shards(self, left: list[Share], count: int) -> list[list[Share]]:
        """What is left in ``count`` shards: that of a group is a hash of the name of its first task."""
        shards: list[list[Share]] = [[] for _ in range(count)]
        for share in left:
            digest = hashlib.sha256(self.work.tasks[share.start].name.encode('utf-8', 'surrogatepass')).digest()
            shards[int.from_bytes(digest[:8], 'big') % count].append(share)
        return shards

    def refine(self, model: Any, shares: Iterable[Share], tell: Callable[[Step], None]) -> None:
        """Do these shares, one after the other.

        Args:
            model: what the work refines with.
            tell: told of everything that was done.

        Raises:
            OutputError: a result cannot be written.
        """
        shares = list(shares)
        suspects = [share for share in shares if self._deaths(share)]
        for share in suspects:
            self._refine_with_care(model, share, tell)
        self._refine_ahead(model, [share for share in shares if share not in suspects], tell)

    def _deaths(self, share: Share) -> int:
        return self.attempts.begun(self._keys_of(share))

    def _refine_ahead(self, model: Any, shares: list[Share], tell: Callable[[Step], None]) -> None:
        """Shares in order; a few tasks are being loaded while earlier ones are refined."""
        upcoming = ((share, self.work.tasks[index]) for share in shares for index in share.todo)
        begun: deque[Share] = deque()
        ahead: deque[tuple[Any, Future]] = deque()

        def submit_next() -> bool:
            share, task = next(upcoming, (None, None))
            if share is None:
                return False
            # What is being loaded may be what takes the process with it, so it is marked, too.
            if not begun or begun[-1] is not share:
                begun.append(share)
                self.attempts.begin(self._keys_of(share), 1)
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
                    self._do(model, share, loads(share), tell)
                    self.attempts.end(self._keys_of(begun.popleft()))
            except BaseException:
                # In good order: nobody is to blame. Only the first group may be half done.
                for place, share in enumerate(begun):
                    if place == 0:
                        self.attempts.begin(self._keys_of(share), 0)
                    else:
                        self.attempts.end(self._keys_of(share))
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _keys_of(self, share: Share) -> list[str]:
        return self._keys(range(share.start, share.stop))

    def _refine_with_care(self, model: Any, share: Share, tell: Callable[[Step], None]) -> None:
        """A share that a process has died on: every task is tried alone first, so that it is known which it was."""
        keys = self._keys_of(share)
        deaths = self.attempts.begun(keys)
        alone = [self.work.tasks[index] for index in share.todo]
        bad = [task for task in alone if deaths + self._deaths_of(task, keys) >= _MAX_ATTEMPTS]
        good = [task for task in alone if task not in bad]
        tell(Step(len(bad), 0, [_failure(task, _ProcessDiedError(self.state)) for task in bad]))
        if len(keys) > 1:
            for task in good:
                with self._attempt([task.key], 1):
                    self._try(model, task)
        with self._attempt(keys, deaths + 1 if len(keys) == 1 else deaths):
            self._do(model, share, ((task, _loaded_now(self._load, task)) for task in good), tell)
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

    def _try(self, model: Any, task: Any) -> None:
        """Load and refine a task, and forget what comes of it."""
        with contextlib.suppress(Exception):
            self.work.refine(model, [self._load(task)[0]], lambda step: None)

    def _load(self, task: Any) -> tuple[Any, dict]:
        """A task, and the fingerprints of what it was read from."""
        inputs = {name: fingerprint.as_json() for name, fingerprint in self.work.inputs(task).items()}
        return self.work.load(task), inputs

    def _do(self, model: Any, share: Share, loads: Iterable[tuple[Any, Future]], tell: Callable[[Step], None]) -> None:
        """Refine tasks of a share, together as far as there is memory, and deliver them."""
        batch: list[_Loaded] = []
        size_px = 0
        for task, future in loads:
            try:
                item, inputs = future.result()
                record = None if share.anew else self._valid_record(task)
            except Exception as error:
                tell(Step(0 if self.work.tells_progress else 1, 0, [self._failed(task, error)]))
                continue
            more_px = self.work.size_px(item)
            if batch and size_px + more_px > MAX_BATCH_PX:
                self._do_batch(model, batch, tell)
                batch, size_px = [], 0
            batch.append(_Loaded(task, item, inputs, None if record is None else record['masks']))
            size_px += more_px
        self._do_batch(model, batch, tell)

    def _do_batch(self, model: Any, batch: list[_Loaded], tell: Callable[[Step], None]) -> None:
        fresh = iter(self._refine(model, [loaded.item for loaded in batch if loaded.masks is None], tell))
        failed, num_masks = [], 0
        for loaded in batch:
            masks = next(fresh) if loaded.masks is None else loaded.masks
            try:
                if isinstance(masks, Exception):
                    raise masks
                num_masks += self._deliver(loaded, masks)
            except OutputError:
                raise
            except Exception as error:
                failed.append(self._failed(loaded.task, error))
        tell(Step(0, 0, failed) if self.work.tells_progress else Step(len(batch), num_masks, failed))

    def _refine(self, model: Any, items: list[Any], tell: Callable[[Step], None]) -> list[dict | Exception]:
        """Of each its masks, or what kept it from having any: one that fails takes no other with it."""
        if not items:
            return []
        try:
            return self.work.refine(model, items, tell)
        except OutputError:
            raise
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [result for item in items for result in self._refine(model, [item], tell)]

    def _deliver(self, loaded: _Loaded, masks: dict) -> int:
        """Write what became of a task, and keep it; how many masks there are to tell of."""
        task = loaded.task
        told_of = self.work.told_of(task).as_json()
        told = self.work.deliver(loaded.item, masks, self.out)
        files = {name: self.out.digest(name) for name in self.work.outputs(task)}
        before = self.records.read(task.key)
        record = {'name': task.name, 'refiner': self.work.refiner, 'inputs': loaded.inputs, 'masks': masks}
        self.records.write(task.key, {**record, 'delivered': {'files': files, 'told_of': told_of, 'told': told}})
        # A picture that is not wanted any more would show what was before.
        if before is not None and (before.get('masks'), before.get('inputs')) != (masks, loaded.inputs):
            old = before.get('delivered', {}).get('files', {})
            self.out.remove(name for name in old if name not in files)
        return len(told.get('entries', ()))

    def deliver_again(self, task: Any, record: dict, masks: dict) -> None:
        """Write a task with other masks than its record has."""
        self._deliver(_Loaded(task, self.work.load(task), record['inputs'], masks), masks)

    def _failed(self, task: Any, error: Exception) -> dict:
        if self.debug:
            traceback.print_exception(error, file=sys.stderr)
        return _failure(task, error)

    # ---- conclude ----

    def conclude(self, failed: list[dict]) -> Any:
        """Put everything together in the order of the tasks, alone; the summary, last, says that all is there.

        Args:
            failed: of all steps.

        Returns:
            What :meth:`Work.conclude` makes of it.

        Raises:
            OutputError: it cannot be written, or records are not there.
        """
        failed = sorted({failure['task']: failure for failure in failed}.values(), key=lambda item: item['task'])
        indices = self._done({failure['task'] for failure in failed})
        for failure in failed:  # keeps no old result
            self.out.remove(self.work.outputs(self.work.tasks[failure['task']]))
        self.out.remove([LABEL_QUALITY])  # whoever measures measures again
        with contextlib.suppress(OSError):
            (self.state / 'final.json').unlink()

        def done() -> Iterator[tuple[Any, dict]]:
            for index in indices:
                task = self.work.tasks[index]
                yield task, self.records.read(task.key)

        head = {'settings': {**self.work.about, **self.work.choices, 'refiner': self.work.refiner}}
        report = self.work.conclude(done, failed, head, self.out)
        self.records.merge(self.work.tasks[index].key for index in indices)
        files = {name: self.out.digest(name) for name in self._final_outputs()}
        if not failed:
            with whole_file(self.state / 'final.json') as file:
                json.dump({'of': self._all_tasks(), 'files': files}, file)
        self.attempts.clean()
        remove_results(self.state / 'unfinished', self.state / 'processes')
        return report

    def _done(self, failed: set[int]) -> list[int]:
        """Indices of the tasks that have a record; all others must have failed."""
        deadline = time.monotonic() + _SETTLE_S
        tasks = self.work.tasks
        missing = [index for index in range(len(tasks)) if index not in failed]
        while missing := [index for index in missing if not self.records.has(tasks[index].key)]:
            if time.monotonic() > deadline:
                raise OutputError(
                    f'{len(missing)} {self.work.unit} have neither a result nor an error in {self.state}; all '
                    'processes must share that folder. Start the same command again.'
                )
            time.sleep(1)
        return [index for index in range(len(tasks)) if index not in failed]


class _ProcessDiedError(RuntimeError):
    """The process was gone twice while it worked on a task."""

    def __init__(self, state: Path):
        super().__init__(
            f'the process died {_MAX_ATTEMPTS} times while it worked on it, for example for lack of memory; it is not '
            f'tried again until {state / "attempts"} is deleted, or with --overwrite.'
        )


def check_choices(known: dict | None, choices: dict, out: Path) -> None:
    """Refuse to mix results.

    Raises:
        ValueError: the choices differ.
    """
    if known is None:
        return
    choices = json.loads(json.dumps(choices))
    differing = [key for key in sorted({*known, *choices}) if known.get(key) != choices.get(key)]
    if differing:
        shown = [f'{key} {_short(known.get(key))}, now {_short(choices.get(key))}' for key in differing]
        raise ValueError(
            f'{out} holds results of a job with other settings ({"; ".join(shown)}); '
            'choose another --out, or start anew with --overwrite.'
        )


def error_text(error: Exception) -> str:
    """One line on what was raised; of errors that were not meant for people the kind is told, too."""
    text = ' '.join(str(error).split()) or type(error).__name__
    if not isinstance(error, (OSError, ValueError, TypeError, MemoryError, ImportError, RuntimeError)):
        text = f'{type(error).__name__}: {text}'
    return _short(text, 1000)


def _failure(task: Any, error: Exception) -> dict:
    return {'task': task.index, 'name': task.name, 'error': error_text(error)}


def _loaded_now(load: Callable[[Any], Any], task: Any) -> Future:
    future: Future = Future()
    try:
        future.set_result(load(task))
    except Exception as error:
        future.set_exception(error)
    return future


def _short(value: Any, length: int = 40) -> str:
    text = str(value)
    return text if len(text) <= length else text[: length - 3] + '...'
