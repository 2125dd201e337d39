"""Manual decisions that replace the gate's: the results of a finished job are rewritten without refining again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmrefine.files.activation_maps import MapNames
from mmrefine.files.atomic import whole_file
from mmrefine.files.manifest import JOB_FOLDER
from mmrefine.jobs.engine import Job
from mmrefine.jobs.formats import FormatOptions, open_ground_truth, open_masks
from mmrefine.jobs.image_work import ImageWork
from mmrefine.jobs.refined_masks import RefinedMasks
from mmrefine.jobs.report import JobReport, read_report
from mmrefine.jobs.work import SUMMARY

ARGUMENTS = 'arguments.json'
KEPT = 'kept by a reviewer'


def apply_decisions(
    out: str | os.PathLike, decisions: Mapping[str, Mapping[int, bool]], proposals: Mapping[str, str] | None = None
) -> JobReport:
    """Accept or reject proposals of a job on images.

    Later runs of the job keep the decisions as long as image, masks, weights and config do not change.

    Args:
        out: output folder of the job.
        decisions: whether proposals are accepted, by key of the image (``key`` of its record, see
            :mod:`mmrefine.jobs.records`) and index of the mask.
        proposals: :meth:`~mmrefine.jobs.refined_masks.RefinedMasks.proposals_digest` of the proposals that were
            reviewed, by key; images without one are not checked.

    Raises:
        FileNotFoundError: the folder has no results of a job on images, or its inputs are missing.
        ValueError: an image, a mask or a proposal does not exist, or the inputs have changed.
        OutputError: results cannot be written, or another run is using the folder.
    """
    job = reopen(out)
    with job:
        left = {index for share in job.start() for index in share.todo}
        tasks = {task.key: task for task in job.work.tasks}
        decided: dict[str, tuple[dict, RefinedMasks]] = {}  # all are validated before the first is applied
        for key, chosen in decisions.items():
            if key not in tasks:
                raise ValueError(
                    f'the job in {out} has no image with the key {key!r}; are these decisions of another job?'
                )
            record = job.records.read(key)
            if record is None or tasks[key].index in left:
                raise ValueError(f'{tasks[key].image} or its masks have changed; run the job again first.')
            masks = RefinedMasks.from_json(record['masks'])
            if (proposals or {}).get(key, masks.proposals_digest()) != masks.proposals_digest():
                raise ValueError(
                    f'{tasks[key].image} was refined again since it was reviewed; make the page again with mmrefine '
                    'report, and review it there.'
                )
            try:
                decided[key] = record, masks.with_decisions(dict(chosen), KEPT)
            except ValueError as error:
                raise ValueError(f'{tasks[key].image}: {error}') from error
        for key, (record, masks) in decided.items():
            job.deliver_again(tasks[key], record, masks.as_json())
        return job.conclude(_failures(job, left))


def reopen(out: str | os.PathLike) -> Job:
    """Open the job of an output folder, not started; it cannot refine."""
    settings = _read_state(out, 'settings.json')
    if settings.get('unit', ImageWork.unit) != ImageWork.unit:
        raise ValueError(
            f'{out} contains masks of clips, which cannot be reviewed because their proposals are not stored; '
            'use mmrefine video --overlay to see them, and --gate or --no-gate to decide for all.'
        )
    arguments = _read_state(out, ARGUMENTS)
    try:
        options = {**arguments['options'], 'cam_names': MapNames(**arguments['options']['cam_names'])}
        paths = {name: None if arguments[name] is None else Path(arguments[name]) for name in _PATHS}
        pictures, name = arguments['pictures'], arguments['format']
        choices, refiner = settings['choices'], settings['refiner']
    except (KeyError, TypeError) as error:
        raise _no_results(out) from error
    source = open_masks(
        paths['masks'], paths['images'], image_root=paths['image_root'], format=name, options=FormatOptions(**options)
    )
    gt = None if paths['gt'] is None else open_ground_truth(source, paths['gt'])
    work = ImageWork(source, choices, '', about=arguments['about'], ground_truth=gt, pictures=pictures)
    work.choices, work.refiner = choices, refiner
    return Job(work, out)


_PATHS = ('images', 'masks', 'image_root', 'gt')


def _read_state(out: str | os.PathLike, name: str) -> dict:
    try:
        return {**json.loads((Path(out) / JOB_FOLDER / name).read_text(encoding='utf-8'))}
    except (OSError, ValueError, TypeError) as error:
        raise _no_results(out) from error


def _no_results(out: str | os.PathLike) -> FileNotFoundError:
    return FileNotFoundError(f'{out} contains no results of a job on images; give the --out of the job.')


def save_arguments(state: Path, paths: Mapping[str, Any], options: FormatOptions, **more: Any) -> None:
    """Store the arguments that :func:`reopen` needs.

    Args:
        state: folder of the job's internal files.
        paths: images, masks, image_root and gt, as given.
        options: options of the masks.
        more: format, pictures and about.
    """
    absolute = {name: None if path is None else os.path.abspath(path) for name, path in paths.items()}
    with whole_file(state / ARGUMENTS) as file:
        json.dump({**absolute, 'options': asdict(options), **more}, file)


def _failures(job: Job, left: set[int]) -> list[dict]:
    """Errors of tasks without a result, from the report of the last run."""
    try:
        known = {item['image']: item['error'] for item in read_report(job.out.root / SUMMARY).failed}
    except (OSError, ValueError, KeyError):
        known = {}
    names = {index: job.work.tasks[index].image for index in sorted(left)}
    changed = 'it has changed since it was refined; run the job again.'
    return [{'task': index, 'name': name, 'error': known.get(name, changed)} for index, name in names.items()]
