"""The review page of a job, made from its records without refining, and the decisions that it exports as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmrefine.files.digests import digest_of
from mmrefine.files.json_stream import read_json
from mmrefine.files.names import real_path
from mmrefine.jobs.decide import apply_decisions, reopen
from mmrefine.jobs.engine import Job
from mmrefine.jobs.formats.base import CROWD, GroundTruthMasks
from mmrefine.jobs.image_work import LoadedImage
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMask, RefinedMasks
from mmrefine.jobs.report import JobReport
from mmrefine.visualization.review import ReviewImage, ReviewMask, ReviewPage

FOLDER = 'review'
PAGE = f'{FOLDER}/index.html'
_PLANNED_TOGETHER = 500  # thumbnails; each time the whole manifest is written


def write_review(out: str | os.PathLike) -> Path:
    """Write ``review/index.html`` and its thumbnails to the output folder of a job on images.

    Images that were not refined or have changed are skipped.

    Returns:
        path of the page.

    Raises:
        FileNotFoundError: the folder has no results of a job on images, or its inputs are missing.
        ValueError: no mask was refined, so there is nothing to review.
        OutputError: the page cannot be written, or another run is using the folder.
    """
    job = reopen(out)
    with job:
        left = {index for share in job.start() for index in share.todo}
        tasks = [task for task in job.work.tasks if task.index not in left]
        identity = digest_of([job.work.refiner, str(real_path(out)), [task.key for task in tasks]])[:16]
        page = ReviewPage(f'Review of {job.work.source.path.name}', identity)
        waiting: dict[str, bytes] = {}
        written: set[str] = set()
        for task in tasks:
            record = job.records.read(task.key)
            if record is None:
                continue
            waiting |= page.add(_review_image(job, job.work.load(task), record))
            if len(waiting) >= _PLANNED_TOGETHER:
                written |= _write_thumbnails(job.out, waiting)
                waiting = {}
        written |= _write_thumbnails(job.out, waiting)
        if not written:
            raise ValueError(f'no image of the job in {out} was refined; there is nothing to review.')
        job.out.plan([PAGE])
        with job.out.open(PAGE) as file:
            file.write(page.html())
        job.out.remove([name for name in job.out.owned - written if name.startswith(f'{FOLDER}/') and name != PAGE])
        return job.out.path(PAGE)


def _write_thumbnails(out: OutputFolder, thumbnails: dict[str, bytes]) -> set[str]:
    """Write thumbnails; returns their names in the results."""
    names = {f'{FOLDER}/{name}': content for name, content in thumbnails.items()}
    out.plan(names)
    for name, content in names.items():
        with out.open(name, 'wb') as file:
            file.write(content)
    return set(names)


def has_review(out: str | os.PathLike) -> bool:
    """Whether the folder has a review page; it becomes out of date when decisions are applied."""
    return (Path(out) / PAGE).is_file()


def apply_decision_file(out: str | os.PathLike, decisions: str | os.PathLike) -> tuple[JobReport, int]:
    """Apply the decisions that a review page has exported; see :func:`~mmrefine.jobs.decide.apply_decisions`.

    Returns:
        the job's report and the number of decisions.

    Raises:
        FileNotFoundError, ValueError, OutputError: see :func:`~mmrefine.jobs.decide.apply_decisions`; or the file
            contains no decisions.
    """
    chosen, proposals = read_decisions(decisions)
    return apply_decisions(out, chosen, proposals), sum(map(len, chosen.values()))


def read_decisions(path: str | os.PathLike) -> tuple[dict[str, dict[int, bool]], dict[str, str]]:
    """Read decisions by key of the image and index of the mask, and digests of the reviewed proposals by key.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a file of decisions.
    """
    content = read_json(path)
    try:
        images = content['decisions']
        decisions = {key: {int(index): taken for index, taken in masks.items()} for key, masks in images.items()}
        if not all(isinstance(taken, bool) for masks in decisions.values() for taken in masks.values()):
            raise TypeError('neither true nor false')
        proposals = dict(content.get('proposals') or {})  # may be missing in a file written by hand
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(
            f'{path} contains no decisions: expected {{"decisions": {{image: {{"0": true, ...}}}}}} as exported by '
            'the review page.'
        ) from error
    return decisions, proposals


def _review_image(job: Job, loaded: LoadedImage, record: dict) -> ReviewImage:
    refined = RefinedMasks.from_json(record['masks'])
    gt = None
    if job.work.ground_truth is not None:
        try:
            gt = job.work.ground_truth.read(loaded.task, loaded.coarse)
        except (OSError, ValueError):
            gt = None  # the summary has the reason
    masks = _review_masks(loaded, refined, gt)
    return ReviewImage(record['key'], loaded.task.image, refined.proposals_digest(), loaded.image, masks)


def _review_masks(
    loaded: LoadedImage, refined: RefinedMasks, gt: GroundTruthMasks | None
) -> Iterator[tuple[int, ReviewMask | None]]:
    coarse = loaded.coarse
    for index, name in enumerate(coarse.names):
        item: RefinedMask = refined[index]
        if item.failed or index in coarse.left_alone:
            if item.failed or coarse.left_alone[index] == CROWD:  # other shapes are no masks
                yield index, None
            continue
        mask, true = coarse.mask(index), None
        if gt is not None:
            try:
                true = gt.mask(index, mask)
            except ValueError:
                true = None  # the summary has the reason
        yield (
            index,
            ReviewMask(
                name=name,
                category=coarse.categories[index],
                coarse=mask,
                proposed=None if item.rle is None else item.decode(),
                gt=None if true is None else np.asarray(true, bool),
                accepted=item.accepted,
                reason=item.reason,
                decided=item.decided,
                score=item.proposal_score,
                gain=item.gain,
            ),
        )
