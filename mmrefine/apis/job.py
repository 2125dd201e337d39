"""Refining the masks of a whole data set: read, refine, write as it comes, go on after a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmrefine.apis.files import PartStore, check_same_settings, remove_results, whole_file
from mmrefine.apis.inferencer import DEFAULT_MODEL, RefineInferencer
from mmrefine.apis.progress import JobProgress
from mmrefine.apis.report import JobReport, Totals, mask_entries, write_summary
from mmrefine.apis.truth import TrueMasks, Truth, measure, open_truth
from mmrefine.apis.writers import open_writer
from mmrefine.datasets.images import read_image
from mmrefine.datasets.mask_sources import CoarseMasks, MaskSource, MaskTask, open_masks
from mmrefine.models.model_zoo import load_config
from mmrefine.models.refiners import BaseRefiner
from mmrefine.structures import RefineResult
from mmrefine.visualization import draw_refinement

_ENTRIES_IN_REPORT = 1000


def refine_dataset(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    out: str | os.PathLike,
    *,
    model: str | os.PathLike | dict | BaseRefiner = DEFAULT_MODEL,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    gate: bool = True,
    seed: int = 0,
    semantic: bool = False,
    ignore_label: int | None = 255,
    background_label: int | None = 0,
    cam_threshold: float | None = None,
    ignore_band: bool = False,
    image_root: str | os.PathLike | None = None,
    gt: str | os.PathLike | None = None,
    pictures: int | None = 0,
    batch_masks: int = 8,
    workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
) -> JobReport:
    """Refine masks in files and write them in the kind in which they came, with a ``summary.json``.

    A job that was killed goes on where it was when it is called again with the same arguments, and ends with the same
    files. Images that cannot be read, or do not fit their masks, are skipped and reported; a next call tries them
    again.

    Args:
        images, masks, semantic, ignore_label, background_label, cam_threshold, image_root: see
            :func:`~mmrefine.datasets.mask_sources.open_masks`.
        ignore_band: see :class:`~mmrefine.apis.writers.LabelMapWriter`.
        out: folder for the results.
        model, checkpoint, device, gate, seed, batch_masks: see :class:`~mmrefine.apis.inferencer.RefineInferencer`.
        gt: ground truth of the same kind as the masks, see :func:`~mmrefine.apis.truth.open_truth`.
        pictures: of how many images before/after pictures are drawn; None for all.
        workers: threads that read images ahead.
        overwrite: start anew in a folder that holds results of other settings.
        progress: show it on standard error.

    Raises:
        TypeError, ValueError, FileNotFoundError: the arguments are wrong; nothing was written.
        OutputError: results cannot be written.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}.')
    source = open_masks(
        masks,
        images,
        semantic=semantic,
        ignore_label=ignore_label,
        background_label=background_label,
        cam_threshold=cam_threshold,
        image_root=image_root,
    )
    truth = None if gt is None else open_truth(gt, source)
    inferencer = RefineInferencer(model, checkpoint, device, gate, seed, batch_masks)
    settings = {
        'images': str(images),
        'masks': str(masks),
        'masks_sha256': source.digest,
        'image_root': None if image_root is None else str(image_root),
        'semantic': {'ignore_label': ignore_label, 'background_label': background_label} if semantic else None,
        'cam_threshold': cam_threshold,
        'ignore_band': ignore_band,
        'gt': None if gt is None else str(gt),
        'model': str(model) if isinstance(model, (str, os.PathLike)) else type(inferencer.refiner).__name__,
        'checkpoint': None if checkpoint is None else str(checkpoint),
        'weights_sha256': _weights_digest(inferencer.refiner),
        'config': None if isinstance(model, BaseRefiner) else _plain(load_config(model)[0]['model']),
        'gate': gate,
        'seed': seed,
        'pictures': pictures,
    }
    job = RefineJob(source, inferencer, Path(out), settings, truth, pictures, workers, ignore_band)
    return job.run(overwrite, progress)


@dataclass(frozen=True)
class _Loaded:
    """A task with everything that was read for it."""

    task: MaskTask
    image: np.ndarray
    coarse: CoarseMasks
    truth: TrueMasks | None


class RefineJob:
    """One pass over the tasks of a source; see :func:`refine_dataset`.

    Under ``out`` are the refined masks, ``summary.json``, ``pictures/``, and while the job is unfinished ``.parts/``.

    Args:
        source: the coarse masks.
        inferencer: refines them.
        out: folder for the results.
        settings: what the results depend on, in types of JSON.
        truth: ground truth.
        pictures: of how many images pictures are drawn; None for all.
        workers: threads that read ahead.
        ignore_band: see :class:`~mmrefine.apis.writers.LabelMapWriter`.
    """

    def __init__(
        self,
        source: MaskSource,
        inferencer: RefineInferencer,
        out: Path,
        settings: dict,
        truth: Truth | None = None,
        pictures: int | None = 0,
        workers: int = 2,
        ignore_band: bool = False,
    ):
        self.source, self.inferencer, self.out, self.truth = source, inferencer, out, truth
        self.settings = json.loads(json.dumps(settings))
        self.workers = workers
        self.writer = open_writer(source, out, ignore_band)
        self.summary_path = out / 'summary.json'
        self._parts_folder = out / '.parts'
        self._picture_names = _picture_names(source.tasks, pictures)

    def run(self, overwrite: bool = False, progress: bool = True) -> JobReport:
        """Do what is not done yet, then put the results together."""
        if overwrite:
            remove_results(self._parts_folder, self.summary_path)
        finished = self._finished()
        if finished is not None:
            remove_results(self._parts_folder)
            return finished
        parts = PartStore(self._parts_folder, self.settings)
        groups = [group for group in self._groups() if not all(parts.has(task.index) for task in group)]
        failed: list[dict] = []
        with JobProgress(sum(map(len, groups)), progress) as bar:
            for group in self._read_ahead(groups):
                loaded = self._without_failures(group, failed)
                inputs = [self.inferencer.make_input(item.image, item.coarse.masks) for item in loaded]
                results = self.inferencer.refiner.refine_batch(inputs)
                for item, result in zip(loaded, results, strict=True):
                    if not parts.has(item.task.index):
                        parts.write(item.task.index, self._write(item, result))
                bar.advance(len(group), sum(map(len, results)))
        return self._conclude(parts, failed)

    def _groups(self) -> list[list[MaskTask]]:
        """Tasks that are refined together, at most ``batch_masks`` masks or one task.

        A group that was half done when a job was killed is refined whole again: floating-point rounding may depend on
        what else is in a batch, and the results of a job must not depend on where it was interrupted.
        """
        groups: list[list[MaskTask]] = []
        room = 0
        for task in self.source.tasks:
            if not groups or task.num_masks is None or task.num_masks > room:
                groups.append([])
                room = self.inferencer.batch_masks
            groups[-1].append(task)
            room = 0 if task.num_masks is None else room - task.num_masks
        return groups

    def _finished(self) -> JobReport | None:
        """The report of this very job, if it was completed before without a failure."""
        if not self.summary_path.is_file():
            return None
        summary = json.loads(self.summary_path.read_text(encoding='utf-8'))
        check_same_settings(summary.get('settings', {}), self.settings, self.out)
        if summary['failed']:
            return None
        return JobReport(summary['total'], [], summary['masks'][:_ENTRIES_IN_REPORT])

    def _read_ahead(self, groups: list[list[MaskTask]]) -> Iterator[list[tuple[MaskTask, Future]]]:
        """Groups in order; a few images are being read while earlier ones are refined."""
        waiting = iter([task for group in groups for task in group])
        with ThreadPoolExecutor(self.workers) as pool:
            futures = deque(pool.submit(self._load, task) for task in islice(waiting, self.workers + 1))
            try:
                for group in groups:
                    started = []
                    for task in group:
                        started.append((task, futures.popleft()))
                        futures.extend(pool.submit(self._load, task) for task in islice(waiting, 1))
                    yield started
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _without_failures(group: list[tuple[MaskTask, Future]], failed: list[dict]) -> list[_Loaded]:
        """What could be read of a group; what could not goes to ``failed``."""
        loaded = []
        for task, future in group:
            try:
                loaded.append(future.result())
            except (OSError, ValueError) as error:
                failure = {'image': task.image, 'error': str(error)}
                if failure not in failed[-1:]:  # an image of several tasks fails several times
                    failed.append(failure)
        return loaded

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

    def _conclude(self, parts: PartStore, failed: list[dict]) -> JobReport:
        """Put the parts together in the order of the tasks; the summary, last, says that all is there."""
        done = [task for task in self.source.tasks if parts.has(task.index)]
        totals, first_entries = Totals(), []
        for task in done:
            for entry in parts.read(task.index)['entries']:
                totals.add(entry)
                if len(first_entries) < _ENTRIES_IN_REPORT:
                    first_entries.append(entry)
        self.writer.finish(parts.read(task.index)['output'] for task in done)
        failed_images = {item['image'] for item in failed}
        total = totals.summary(len({task.image for task in done} - failed_images), len(failed_images))
        entries = (entry for task in done for entry in parts.read(task.index)['entries'])
        write_summary(self.summary_path, self.settings, total, failed, entries)
        if not failed:  # otherwise a next call has only those to do
            remove_results(self._parts_folder)
        return JobReport(total, failed, first_entries)


def _picture_names(tasks: list[MaskTask], limit: int | None) -> dict[int, str]:
    """File names of the pictures of the first tasks, by index: the image's name, numbered where it is not unique."""
    stems = [PurePosixPath(task.image).stem for task in tasks]
    counts = Counter(stems)
    names = [f'{stem}.png' if counts[stem] == 1 else f'{stem}_{index}.png' for index, stem in enumerate(stems)]
    return dict(islice(enumerate(names), limit))


def _weights_digest(refiner: BaseRefiner) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(refiner.state_dict().items()):
        digest.update(name.encode())
        digest.update(array.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A config in types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
