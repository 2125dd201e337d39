"""The work of a job, apart from who does it: what there is to do, doing it, putting it together."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from mmrefine.apis.inferencer import RefineInferencer
from mmrefine.files.atomic import OutputError, remove_results, whole_file
from mmrefine.files.images import read_image
from mmrefine.files.json_stream import walk_json
from mmrefine.files.mask_sources import CoarseMasks, MaskSource, MaskTask
from mmrefine.jobs.files import PartStore, check_same_settings
from mmrefine.jobs.report import JobReport, Totals, mask_entries, write_summary
from mmrefine.jobs.truth import TrueMasks, Truth, measure
from mmrefine.jobs.writers import open_writer
from mmrefine.structures import RefineResult
from mmrefine.visualization import draw_refinement

_ENTRIES_IN_REPORT = 1000
_SETTLE_S = 60.0  # disks of clusters show files of other machines with some delay


@dataclass(frozen=True)
class _Loaded:
    """A task with everything that was read for it."""

    task: MaskTask
    image: np.ndarray
    coarse: CoarseMasks
    truth: TrueMasks | None


class Step(NamedTuple):
    """What was done of a job at a time.

    Attributes:
        images, masks: how many.
        failed: ``{'task': ..., 'image': ..., 'error': ...}`` for each task that was skipped.
    """

    images: int
    masks: int
    failed: list[dict]


class RefineJob:
    """One pass over the tasks of a source; see :func:`~mmrefine.jobs.job.refine_dataset`.

    It is started once; then any number of processes refine groups of its tasks in any order; it is concluded once.

    Under ``out`` are the refined masks, ``summary.json``, ``pictures/``, and while the job is unfinished ``.parts/``.

    Args:
        source: the coarse masks.
        out: folder for the results.
        settings: what the results depend on, in types of JSON.
        truth: ground truth.
        pictures: of how many images pictures are drawn; None for all.
        batch_masks: tasks are refined together as long as they have no more masks than these.
        workers: threads that read ahead.
        ignore_band: see :class:`~mmrefine.jobs.writers.LabelMapWriter`.
    """

    def __init__(
        self,
        source: MaskSource,
        out: Path,
        settings: dict,
        truth: Truth | None = None,
        pictures: int | None = 0,
        batch_masks: int = 8,
        workers: int = 2,
        ignore_band: bool = False,
    ):
        self.source, self.out, self.truth = source, out, truth
        self.settings = json.loads(json.dumps(settings))
        self.batch_masks, self.workers = batch_masks, workers
        self.writer = open_writer(source, out, ignore_band)
        self.summary_path = out / 'summary.json'
        self.parts_folder = out / '.parts'
        self._picture_names = _picture_names(source.tasks, pictures)

    @cached_property
    def parts(self) -> PartStore:
        """What was done."""
        return PartStore(self.parts_folder, self.settings)

    def start(self, overwrite: bool = False) -> JobReport | None:
        """Make the folder ready, alone; the report if this very job was completed before without a failure.

        Raises:
            ValueError: the folder holds results of a job with other settings.
            OutputError: the folder cannot be written to.
        """
        if overwrite:
            remove_results(self.parts_folder, self.summary_path)
        report = self._finished()
        if report is not None:
            remove_results(self.parts_folder)
            return report
        PartStore(self.parts_folder, self.settings)  # refuses parts of another job
        return None

    def left(self) -> list[range]:
        """The groups of tasks that are not done."""
        return [group for group in self._groups() if not all(map(self.parts.has, group))]

    def shards(self, groups: list[range], count: int) -> list[list[range]]:
        """Groups in ``count`` shares: that of a group is a hash of the name of its first image."""
        shards: list[list[range]] = [[] for _ in range(count)]
        for group in groups:
            name = self.source.tasks[group.start].image
            digest = hashlib.sha256(name.encode()).digest()
            shards[int.from_bytes(digest[:8], 'big') % count].append(group)
        return shards

    def refine(self, inferencer: RefineInferencer, groups: Iterable[range]) -> Iterator[Step]:
        """Do these groups, one after the other.

        Raises:
            OutputError: a result cannot be written.
        """
        for group in self._read_ahead(groups):
            loaded, failed = self._without_failures(group)
            num_masks = 0
            for item, result in zip(loaded, _refine(inferencer, loaded), strict=True):
                if isinstance(result, Exception):
                    failed.append(_failure(item.task, result))
                    continue
                num_masks += len(result)
                if not self.parts.has(item.task.index):
                    self.parts.write(item.task.index, self._write(item, result))
            yield Step(len(group), num_masks, failed)

    def _groups(self) -> list[range]:
        """Indices of tasks that are refined together, at most ``batch_masks`` masks or one task.

        A group that was half done when a job was killed is refined whole again: floating-point rounding may depend on
        what else is in a batch, and the results of a job must not depend on where it was interrupted, or on how many
        processes did it.
        """
        starts, room = [], 0
        for task in self.source.tasks:
            if not starts or task.num_masks is None or task.num_masks > room:
                starts.append(task.index)
                room = self.batch_masks
            room = 0 if task.num_masks is None else room - task.num_masks
        return [range(*pair) for pair in pairwise([*starts, len(self.source.tasks)])]

    def _finished(self) -> JobReport | None:
        """The report of this very job, if it was completed before without a failure."""
        if not self.summary_path.is_file():
            return None
        summary: dict = {'masks': []}
        for item in walk_json(self.summary_path):  # masks, which may be a million, come last
            if len(summary['masks']) == _ENTRIES_IN_REPORT:
                break
            if item.index is None:
                summary[item.key] = item.value
            else:
                summary.setdefault(item.key, []).append(item.value)
        check_same_settings(summary.get('settings', {}), self.settings, self.out)
        return None if summary['failed'] else JobReport(summary['total'], [], summary['masks'])

    def _read_ahead(self, groups: Iterable[range]) -> Iterator[list[tuple[MaskTask, Future]]]:
        """Groups in order; a few images are being read while earlier ones are refined."""
        groups = list(groups)
        waiting = (self.source.tasks[index] for group in groups for index in group)
        with ThreadPoolExecutor(self.workers) as pool:
            started = ((task, pool.submit(self._load, task)) for task in waiting)
            ahead = deque(islice(started, self.workers + 1))
            try:
                for group in groups:
                    reading = []
                    for _ in group:
                        reading.append(ahead.popleft())
                        ahead.extend(islice(started, 1))
                    yield reading
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _without_failures(group: list[tuple[MaskTask, Future]]) -> tuple[list[_Loaded], list[dict]]:
        """What could be read of a group, and what could not."""
        loaded, failed = [], []
        for task, future in group:
            try:
                loaded.append(future.result())
            except (OSError, ValueError, MemoryError) as error:
                failed.append(_failure(task, error))
        return loaded, failed

    def _load(self, task: MaskTask) -> _Loaded:
        if task.image_path is None:
            raise FileNotFoundError(f'no image named {task.image} under {self.source.images.source}.')
        image = read_image(task.image_path)
        coarse = self.source.load(task, image.shape[:2])
        return _Loaded(task, image, coarse, None if self.truth is None else self.truth.load(task, coarse))

    def _write(self, loaded: _Loaded, result: RefineResult) -> dict:
        """Write a task's result, and answer with what is kept of it."""
        written = self.writer.write(loaded.task, loaded.coarse, result)
        measures = [{}] * len(written.names) if loaded.truth is None else measure(written.result, loaded.truth)
        if loaded.task.index in self._picture_names:
            path = self.out / 'pictures' / self._picture_names[loaded.task.index]
            heading = f'{loaded.task.image}: {result.accepted.sum()} of {len(result)} refinements accepted'
            drawn = draw_refinement(loaded.image, written.result.coarse_masks, written.result.masks, heading)
            with whole_file(path, 'wb') as file:
                Image.fromarray(drawn).save(file, format='PNG')
        return {'entries': mask_entries(loaded.task.image, written, measures), 'output': written.output}

    def conclude(self, failed: list[dict]) -> JobReport:
        """Put the parts together in the order of the tasks, alone; the summary, last, says that all is there.

        Args:
            failed: of all steps.

        Raises:
            OutputError: it cannot be written, or parts are not there.
        """
        failed = sorted(failed, key=itemgetter('task'))
        done = self._done({failure['task'] for failure in failed})
        totals, first_entries = Totals(), []
        for index in done:
            for entry in self.parts.read(index)['entries']:
                totals.add(entry)
                if len(first_entries) < _ENTRIES_IN_REPORT:
                    first_entries.append(entry)
        self.writer.finish(self.parts.read(index)['output'] for index in done)
        # An image of several tasks failed several times.
        errors = list({failure['image']: failure['error'] for failure in reversed(failed)}.items())[::-1]
        failures = [{'image': image, 'error': error} for image, error in errors]
        done_images = {self.source.tasks[index].image for index in done} - dict(errors).keys()
        total = totals.summary(len(done_images), len(failures))
        entries = (entry for index in done for entry in self.parts.read(index)['entries'])
        write_summary(self.summary_path, self.settings, total, failures, entries)
        if not failed:  # otherwise a next call has only those to do
            remove_results(self.parts_folder)
        return JobReport(total, failures, first_entries)

    def _done(self, failed: set[int]) -> list[int]:
        """Indices of the tasks that have a part; all others must have failed."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            done = [index for index in range(len(self.source.tasks)) if self.parts.has(index)]
            missing = set(range(len(self.source.tasks))) - failed - set(done)
            if not missing:
                return done
            if time.monotonic() > deadline:
                raise OutputError(
                    f'{len(missing)} images have neither a result nor an error in {self.parts_folder}; all processes '
                    'must share that folder. Start the same command again.'
                )
            time.sleep(1)


def _refine(inferencer: RefineInferencer, loaded: list[_Loaded]) -> list[RefineResult | Exception]:
    """A result for each, or what kept it from having one: one bad image takes no other with it."""
    try:
        inputs = [inferencer.make_input(item.image, item.coarse.masks) for item in loaded]
        return inferencer.refiner.refine_batch(inputs)
    except (ValueError, MemoryError, torch.OutOfMemoryError) as error:
        if len(loaded) == 1:
            return [error]
        return [result for item in loaded for result in _refine(inferencer, [item])]


def _failure(task: MaskTask, error: Exception) -> dict:
    return {'task': task.index, 'image': task.image, 'error': str(error) or type(error).__name__}


def _picture_names(tasks: Iterable[MaskTask], limit: int | None) -> dict[int, str]:
    """File names of the pictures of the first tasks, by index: the image's name, numbered where it is not unique."""
    if limit == 0:
        return {}
    stems = [PurePosixPath(task.image).stem for task in tasks]
    counts = Counter(stems)
    names = [f'{stem}.png' if counts[stem] == 1 else f'{stem}_{index}.png' for index, stem in enumerate(stems)]
    return dict(islice(enumerate(names), limit))
