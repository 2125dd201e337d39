"""Work of a job on images: reads, refines in batches, writes and reports mask by mask.

Legend: N masks of an image, H and W its size in pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmrefine.apis.inferencer import RefineInferencer
from mmrefine.files.digests import digest_of
from mmrefine.files.images import read_image
from mmrefine.files.names import inside
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files, fingerprint_value
from mmrefine.jobs.formats.base import CROWD, CoarseMasks, GroundTruth, GroundTruthMasks, MaskFormat, MaskPair, MaskTask
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMask, RefinedMasks, encode_results
from mmrefine.jobs.report import JobReport, Totals, mask_entry, measure, read_report, write_summary
from mmrefine.jobs.work import MAX_BATCH_PX, Progress, Work, error_text, short
from mmrefine.models.refiners import RefineInput
from mmrefine.visualization import draw_refinement

_PICTURE_MASKS_PX = 2**26  # if there are more, only the first masks are drawn
_PICTURE_NOTES = 8


@dataclass(frozen=True)
class LoadedImage:
    """A task with its image and masks."""

    task: MaskTask
    image: np.ndarray
    coarse: CoarseMasks


class ImageWork(Work):
    """Work on images; the model is a :class:`~mmrefine.apis.inferencer.RefineInferencer`.

    Args:
        source: the coarse masks.
        choices, refiner, about: see :class:`~mmrefine.jobs.work.Work`.
        ground_truth: ground truth of the masks, if there is any.
        pictures: number of images for which pictures are drawn; None: all.
        batch_masks: maximum number of masks that are refined together, unless one task has more.
        workers: number of threads that read ahead.
        paths: further inputs, with their roles.
    """

    unit = 'images'

    def __init__(
        self,
        source: MaskFormat,
        choices: dict[str, Any],
        refiner: str,
        about: dict[str, Any] | None = None,
        ground_truth: GroundTruth | None = None,
        pictures: int | None = 0,
        batch_masks: int = 8,
        workers: int = 2,
        paths: list[tuple[str, Path]] | None = None,
    ):
        self.source, self.tasks, self.ground_truth = source, source.tasks, ground_truth
        self.choices, self.about = {**source.choices, **choices}, about or {}
        self.refiner = digest_of([source.name, self.choices, refiner])
        self.batch_masks, self.workers = batch_masks, workers
        self._more_paths = paths or []
        self._pictures = _picture_names(source.tasks, pictures)

    # ---- tasks ----

    def groups(self) -> list[range]:
        """Groups of at most ``batch_masks`` masks, or of one task."""
        starts, room = [], 0
        for task in self.tasks:
            if not starts or task.num_masks is None or task.num_masks > room:
                starts.append(task.index)
                room = self.batch_masks
            room = 0 if task.num_masks is None else room - task.num_masks
        return [range(*pair) for pair in pairwise([*starts, len(self.tasks)])]

    def paths(self) -> Iterator[tuple[str, Path]]:
        yield 'coarse masks', self.source.path
        yield 'images', self.source.images.source
        if self.ground_truth is not None:
            yield from (('ground truth', path) for path in self.ground_truth.paths)
        yield from self._more_paths
        yield from (('image', task.image_path) for task in self.tasks if task.image_path is not None)

    def inputs(self, task: MaskTask) -> dict[str, Fingerprint]:
        paths = [] if task.image_path is None else [task.image_path]
        return {'image': fingerprint_files(paths), 'masks': self.source.fingerprint(task)}

    def outputs(self, task: MaskTask) -> list[str]:
        picture = self._pictures.get(task.index)
        return [*self.source.outputs(task), *([] if picture is None else [f'pictures/{picture}'])]

    def final_outputs(self) -> list[str]:
        return self.source.final_outputs()

    def final_digest(self) -> str:
        return self.source.final_digest()

    def report_fingerprint(self, task: MaskTask) -> Fingerprint:
        ground_truth = fingerprint_value(None) if self.ground_truth is None else self.ground_truth.fingerprint(task)
        names = self.source.names_digest()
        return Fingerprint(digest_of([ground_truth.quick, names]), lambda: digest_of([ground_truth.content(), names]))

    # ---- a task ----

    def load(self, task: MaskTask) -> LoadedImage:
        if task.image_path is None:
            images = self.source.images
            missing = f'no image named {task.image} under {images.source}.'
            raise FileNotFoundError(task.problem or images.ambiguous.get(task.image, missing))
        image = read_image(task.image_path)
        return LoadedImage(task, image, self.source.read(task, image.shape[:2]))

    def size_px(self, loaded: LoadedImage) -> int:
        height, width = loaded.image.shape[:2]
        return height * width * (1 + len(loaded.coarse))

    def refine(
        self, model: RefineInferencer, loaded: list[LoadedImage], on_progress: Callable[[Progress], None]
    ) -> list[dict | Exception]:
        jobs = [_MasksOfImage(item, model.seed) for item in loaded]
        if len(jobs) > 1:  # a group of tasks fits into memory
            inputs = [job.next_input(len(job.left)) for job in jobs]
            for job, result in zip(jobs, model.refiner.refine_batch(inputs), strict=True):
                job.add(encode_results(result))
        for job in jobs:
            height, width = job.loaded.image.shape[:2]
            while job.left:
                part = job.next_input(max(1, MAX_BATCH_PX // (height * width)))
                job.add(encode_results(model.refiner.refine_batch([part])[0]))
        return [job.refined().as_json() for job in jobs]

    def deliver(self, loaded: LoadedImage, masks: dict, out: OutputFolder) -> dict:
        refined, task = RefinedMasks.from_json(masks), loaded.task
        gt, problems = self._ground_truth_of(loaded)
        entries, drawn, left_alone = [], _PictureMasks(loaded.image.shape[:2]), Counter()
        for position, pair in enumerate(self.source.write(task, loaded.coarse, refined, out)):
            shape = loaded.coarse.left_alone.get(position, CROWD)
            if shape != CROWD:
                left_alone[shape] += 1
                continue
            measures = {}
            if gt is not None and not pair.failed:
                try:
                    measures = measure(pair, gt.mask(position, pair.coarse), gt.valid)
                except ValueError as error:
                    problems.append({'mask': pair.name, 'error': f'ground truth: {error_text(error)}'})
            if pair.failed:
                problems.append({'mask': pair.name, 'error': pair.reason})
            entries.append(mask_entry(task.image, pair, measures))
            if task.index in self._pictures:
                drawn.add(pair, refined[position])
        if task.index in self._pictures:
            accepted = sum(entry['accepted'] for entry in entries)
            heading = f'{task.image}: {accepted} of {len(entries)} refinements accepted'
            picture = draw_refinement(
                loaded.image, *drawn.masks(), heading, rejected_masks=drawn.rejected(), notes=drawn.notes, crop=True
            )
            with out.open(f'pictures/{self._pictures[task.index]}', 'wb') as file:
                Image.fromarray(picture).save(file, format='PNG')
        return {'entries': entries, 'problems': problems, 'left_alone': left_alone}

    def _ground_truth_of(self, loaded: LoadedImage) -> tuple[GroundTruthMasks | None, list[dict]]:
        """Ground truth of a task, or the problems with it."""
        if self.ground_truth is None:
            return None, []
        try:
            return self.ground_truth.read(loaded.task, loaded.coarse), []
        except (OSError, ValueError) as error:
            return None, [{'mask': None, 'error': f'ground truth: {error_text(error)}'}]

    # ---- final files ----

    def conclude(
        self,
        done: Callable[[], Iterator[tuple[MaskTask, dict]]],
        failed: list[dict],
        head: dict,
        out: OutputFolder,
    ) -> JobReport:
        totals = Totals()
        failures = [{'image': failure['name'], 'error': failure['error']} for failure in failed]
        problems, has_masks, is_measured = [], False, False
        for task, record in done():
            delivered = record['delivered']['report']
            totals.add_image(delivered['entries'], delivered.get('left_alone', {}))
            problems += [{'image': task.image, **problem} for problem in delivered['problems']]
            has_masks |= bool(delivered['entries'])
            is_measured |= any('coarse' in entry for entry in delivered['entries'])
        if self.ground_truth is not None and has_masks and not is_measured and not problems:
            names = ', '.join(path.name for path in self.ground_truth.paths)
            unknown = 'ground truth: it contains none of the masks; ids and names must match.'
            problems.append({'image': names, 'mask': None, 'error': unknown})
        self.source.finish(((task, RefinedMasks.from_json(record['masks'])) for task, record in done()), out)
        content = {'total': totals.summary(len(failures), len(problems)), 'failed': failures, 'problems': problems}
        entries = (entry for _, record in done() for entry in record['delivered']['report']['entries'])
        first = write_summary(out, {**content, **head}, entries)
        return JobReport(content['total'], failures, first, problems)

    def read_report(self, summary: Path) -> JobReport:
        return read_report(summary)


class _MasksOfImage:
    """Queue of the masks of one image, which are refined some at a time.

    They share one random generator, so that results do not depend on how they are divided.
    """

    def __init__(self, loaded: LoadedImage, seed: int):
        self.loaded = loaded
        self._items: list[RefinedMask | None] = [
            RefinedMask(reason=loaded.coarse.left_alone[index]) if index in loaded.coarse.left_alone else None
            for index in range(len(loaded.coarse))
        ]
        self.left = [index for index, item in enumerate(self._items) if item is None]
        self._generator = torch.Generator().manual_seed(seed)
        self._current: list[int] = []

    def next_input(self, count: int) -> RefineInput:
        """The next usable masks, at most ``count``."""
        masks, self._current = [], []
        while self.left and len(masks) < count:
            index = self.left.pop(0)
            try:
                masks.append(self.loaded.coarse.mask(index))
                self._current.append(index)
            except ValueError as error:
                self._items[index] = RefinedMask(reason=error_text(error), failed=True)
        stacked = np.stack(masks) if masks else np.zeros((0, *self.loaded.coarse.size_hw), bool)
        return RefineInput(self.loaded.image, stacked, generator=self._generator)

    def add(self, items: list[RefinedMask]) -> None:
        """Add the results of the last input."""
        for index, item in zip(self._current, items, strict=True):
            self._items[index] = item

    def refined(self) -> RefinedMasks:
        return RefinedMasks(self.loaded.coarse.size_hw, self._items)


class _PictureMasks:
    """The masks of a picture, as many as fit into memory.

    Attributes:
        notes: why proposals were not accepted.
    """

    def __init__(self, size_hw: tuple[int, int]):
        self._size_hw, self._pairs, self._rejected = size_hw, [], []
        self._room = max(1, _PICTURE_MASKS_PX // (size_hw[0] * size_hw[1]))
        self.notes: list[str] = []

    def add(self, pair: MaskPair, item: RefinedMask) -> None:
        if len(self._pairs) < self._room:
            self._pairs.append((pair.coarse, pair.refined))
        if pair.reason and len(self.notes) < _PICTURE_NOTES:
            self.notes.append(short(f'{pair.name} {pair.category}'.strip()) + f' kept: {pair.reason}')
        if item.rle is not None and not item.accepted and len(self._rejected) < self._room:
            self._rejected.append(item.decode())

    def masks(self) -> list[np.ndarray]:
        """Coarse and refined masks, (N, H, W) bool each."""
        return [np.array(side, bool).reshape(-1, *self._size_hw) for side in zip(*self._pairs, strict=True)] or [
            np.zeros((0, *self._size_hw), bool)
        ] * 2

    def rejected(self) -> np.ndarray:
        """Rejected proposals, (M, H, W) bool."""
        return np.array(self._rejected, bool).reshape(-1, *self._size_hw)


def _picture_names(tasks: Any, limit: int | None) -> dict[int, str]:
    """File names of the pictures of the first tasks by index: the path of the image, numbered if it is not unique."""
    if limit == 0:
        return {}
    # Shortened to leave space for a number and the suffix in a name of 255 bytes.
    stems = [
        '/'.join(map(_shortened, str(PurePosixPath(inside(task.image)).with_suffix('')).split('/'))) for task in tasks
    ]
    counts = Counter(stem.lower() for stem in stems)
    names = [f'{stem}.png' if counts[stem.lower()] == 1 else f'{stem}_{index}.png' for index, stem in enumerate(stems)]
    return dict(islice(enumerate(names), limit))


def _shortened(stem: str) -> str:
    while len(stem.encode('utf-8', 'surrogatepass')) > 200:
        stem = stem[:-1]
    return stem
