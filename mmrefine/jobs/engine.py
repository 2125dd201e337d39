"""The engine of all jobs: plans, refines, writes, concludes, and resumes.

One process starts a job; any number of processes refine groups of its tasks, in any order; one process concludes it.
:class:`Work` defines what is done to a task, which is an image or a clip.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mmrefine.files.atomic import OutputError, remove_results, whole_file
from mmrefine.files.digests import digest_of
from mmrefine.files.manifest import JOB_FOLDER
from mmrefine.jobs.lock import Lock
from mmrefine.jobs.outputs import OutputFolder, check_apart, check_names
from mmrefine.jobs.records import Attempts, Records
from mmrefine.jobs.work import SUMMARY, Loaded, Share, Work, short

LABEL_QUALITY = 'label_quality.json'  # see mmrefine.jobs.cam
_RESERVED = (LABEL_QUALITY, JOB_FOLDER)
_SETTLE_S = 60.0  # disks of clusters show files of other machines with some delay


class Job:
    """A work with its output folder; a context manager that releases the folder.

    Args:
        work: what is done.
        out: output folder.
        debug: print tracebacks of failed tasks.

    Attributes:
        on_start: called when the folder is locked for this run.
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
            for folder in (self.state, self.out.root):  # empty if the job was refused
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_lock': None}  # the lock belongs to the process that took it

    # ---- start ----

    def start(self, overwrite: bool = False) -> list[Share]:
        """Prepare the output folder, in one process, and return what is left to do.

        Args:
            overwrite: delete the results of an earlier job.

        Raises:
            ValueError: results would overwrite inputs, or the folder contains results of a job with other choices.
            OutputError: another run is using the folder, or it is not writable.
        """
        check_names([*self._final_outputs(), *_RESERVED])
        check_apart(self.out, self._all_outputs(), self.work.paths())
        lock = Lock(self.state / 'lock')
        lock.__enter__()
        self._lock = lock
        self.out = OutputFolder(self.out.root)  # read again, now that no other run can change it
        self.out.register(self._written_files())
        self.out.check_free(self._all_outputs())
        if overwrite:
            self.out.clear()
            self.records = Records(self.state)
        else:
            check_choices(self._known_choices(), self.work.choices, self.out.root)
        self.out.plan(self._all_outputs())
        with whole_file(self.state / 'settings.json') as file:
            json.dump({'unit': self.work.unit, 'choices': self.work.choices, 'refiner': self.work.refiner}, file)
        if self.on_start is not None:
            self.on_start()
        return list(self._left())

    def is_concluded(self) -> bool:
        """Whether the final files are up to date."""
        try:
            known = json.loads((self.state / 'final.json').read_text(encoding='utf-8'))
            files = known['files']
            return known['of'] == self._all_tasks() and all(
                self.out.digest(name) == files[name] for name in self._final_outputs()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def report(self) -> Any:
        """Report of a job that :meth:`is_concluded`."""
        return self.work.read_report(self.out.root / SUMMARY)

    def _written_files(self) -> Iterator[tuple[str, str]]:
        """Names and digests of all results that are recorded."""
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
        """Digest of the tasks and of the requested results."""
        digest = hashlib.sha256(digest_of([self.work.refiner, self.work.final_digest()]).encode())
        for task in self.work.tasks:
            digest.update(digest_of([task.key, self.work.outputs(task)]).encode())
        return digest.hexdigest()

    def _known_choices(self) -> dict | None:
        try:
            choices = json.loads((self.state / 'settings.json').read_text(encoding='utf-8'))['choices']
        except (OSError, ValueError, KeyError, TypeError):
            return None  # missing or damaged
        return choices if isinstance(choices, dict) else None

    def _left(self) -> Iterator[Share]:
        for group in self.work.groups():
            # Rounding may depend on what else is in a batch: a group that was interrupted is refined again completely.
            if self.attempts.has(self._keys(group)):
                yield Share(group.start, group.stop, tuple(group), refine_all=True)
                continue
            todo = tuple(index for index in group if not self._is_done(self.work.tasks[index]))
            if todo:
                yield Share(group.start, group.stop, todo)

    def _keys(self, group: Iterable[int]) -> list[str]:
        return [self.work.tasks[index].key for index in group]

    def keys_of(self, share: Share) -> list[str]:
        """Keys of all tasks of a share's group."""
        return self._keys(range(share.start, share.stop))

    # ---- state of tasks ----

    def _is_done(self, task: Any) -> bool:
        record = self.valid_record(task)
        return record is not None and self._is_delivered(task, record)

    def valid_record(self, task: Any) -> dict | None:
        """Record of a task; None if there is none or it is out of date."""
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
            return self.work.report_fingerprint(task).agrees(delivered.get('report_of'))
        except (OSError, ValueError):
            return False

    # ---- refine ----

    def still_left(self, shares: Iterable[Share]) -> list[Share]:
        """What is left of these shares; another process may have done a part of them."""
        left = []
        for share in shares:
            todo = tuple(share.todo)
            if not (share.refine_all or self.attempts.has(self.keys_of(share))):
                todo = tuple(index for index in todo if not self._is_done(self.work.tasks[index]))
            if todo:
                left.append(share._replace(todo=todo))
        return left

    def shards(self, left: list[Share], count: int) -> list[list[Share]]:
        """Split shares into ``count`` shards, by a hash of the name of each group's first task."""
        shards: list[list[Share]] = [[] for _ in range(count)]
        for share in left:
            digest = hashlib.sha256(self.work.tasks[share.start].name.encode('utf-8', 'surrogatepass')).digest()
            shards[int.from_bytes(digest[:8], 'big') % count].append(share)
        return shards

    def deliver(self, loaded: Loaded, masks: dict) -> int:
        """Write and record the results of a task; returns the number of its masks."""
        task = loaded.task
        fingerprint = self.work.report_fingerprint(task).as_json()
        report = self.work.deliver(loaded.item, masks, self.out)
        files = {name: self.out.digest(name) for name in self.work.outputs(task)}
        before = self.records.read(task.key)
        record = {'name': task.name, 'refiner': self.work.refiner, 'inputs': loaded.inputs, 'masks': masks}
        delivered = {'files': files, 'report_of': fingerprint, 'report': report}
        self.records.write(task.key, {**record, 'delivered': delivered})
        # A picture that is no longer requested would show the old result.
        if before is not None and (before.get('masks'), before.get('inputs')) != (masks, loaded.inputs):
            old = before.get('delivered', {}).get('files', {})
            self.out.remove(name for name in old if name not in files)
        return len(report.get('entries', ()))

    def deliver_again(self, task: Any, record: dict, masks: dict) -> None:
        """Write a task again with masks that differ from its record."""
        self.deliver(Loaded(task, self.work.load(task), record['inputs'], masks), masks)

    # ---- conclude ----

    def conclude(self, failed: list[dict]) -> Any:
        """Write the final files in the order of the tasks, in one process, with the summary last.

        Args:
            failed: failures of all shares, see :class:`~mmrefine.jobs.work.Progress`.

        Returns:
            the report, see :meth:`Work.conclude`.

        Raises:
            OutputError: a file cannot be written, or records are missing.
        """
        failed = sorted({failure['task']: failure for failure in failed}.values(), key=lambda item: item['task'])
        indices = self._done({failure['task'] for failure in failed})
        for failure in failed:  # old results are removed
            task = self.work.tasks[failure['task']]
            old = (self.records.read(task.key) or {}).get('delivered', {}).get('files', {})
            self.out.remove([*self.work.outputs(task), *old])
        self.out.remove([LABEL_QUALITY])  # it is out of date
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
        # Failed tasks are tried again, but the files belong to this job in any case.
        with whole_file(self.state / 'final.json') as file:
            json.dump({'of': None if failed else self._all_tasks(), 'files': files}, file)
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
                    f'{self.state} has neither a result nor an error of {tasks[missing[0]].name} (missing: '
                    f'{len(missing)}); all processes must share that folder. Run the same command again.'
                )
            time.sleep(1)
        return [index for index in range(len(tasks)) if index not in failed]


def check_choices(known: dict | None, choices: dict, out: Path) -> None:
    """Check that results of different choices are not mixed.

    Raises:
        ValueError: the choices differ.
    """
    if known is None:
        return
    choices = json.loads(json.dumps(choices))
    differing = [key for key in sorted({*known, *choices}) if known.get(key) != choices.get(key)]
    if differing:
        shown = [f'{key} {short(known.get(key))}, now {short(choices.get(key))}' for key in differing]
        raise ValueError(
            f'{out} contains results of a job with other settings ({"; ".join(shown)}); '
            'choose another --out, or start again with --overwrite.'
        )
