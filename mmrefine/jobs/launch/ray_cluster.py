"""One job on a Ray cluster that shares a disk: actors hold the refiner, Ray starts lost ones and their work again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from mmrefine.apis.inferencer import RefineInferencer
from mmrefine.files.atomic import OutputError
from mmrefine.jobs.progress import JobProgress
from mmrefine.jobs.refine_job import RefineJob
from mmrefine.jobs.report import JobReport
from mmrefine.utils import require

# Small enough that little is lost with an actor, and that the last ones end together.
_SHARDS_PER_ACTOR = 16


def run_on_ray(
    job: RefineJob,
    make_inferencer: Callable[[], RefineInferencer],
    actors: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> JobReport:
    """Do what is not done yet, in actors of the cluster that this process is in, or of a new one on this machine.

    Args:
        make_inferencer: called in each actor.
        actors: how many; None: one per GPU, or per core where there are none.

    Raises:
        ImportError: Ray Data is not installed.
        ValueError, OutputError: as :meth:`~mmrefine.jobs.refine_job.RefineJob.start` and ``refine`` say.
    """
    ray = require('ray', 'pip install "ray[data]"', 'the launcher "ray"')
    data = require('ray.data', 'pip install "ray[data]"', 'the launcher "ray"')
    report = job.start(overwrite)
    if report is not None:
        return report
    ray.init(ignore_reinit_error=True, logging_level='warning', include_dashboard=False)
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger('ray.data').setLevel(logging.WARNING)
    left, failed = job.left(), []
    num_gpus = int(ray.cluster_resources().get('GPU', 0))
    actors = actors or num_gpus or int(ray.cluster_resources()['CPU'])
    shards = [shard for shard in job.shards(left, actors * _SHARDS_PER_ACTOR) if shard]
    with JobProgress(sum(map(len, left)), progress) as bar:
        images = masks = 0
        for told in _refine_shards(data, ray.put(job), make_inferencer, shards, min(actors, len(shards)), num_gpus > 0):
            images, masks = images + told['images'], masks + told['masks']
            failed += told['failed']
            bar.show(images, masks)
    return job.conclude(failed)


def _refine_shards(
    data: Any,
    job: Any,
    make_inferencer: Callable[[], RefineInferencer],
    shards: list[list[range]],
    actors: int,
    with_gpus: bool,
) -> Any:
    """What actors tell of each shard, as it comes."""
    if not shards:
        return
    rows = data.from_items(
        [{'shard': json.dumps([[group.start, group.stop] for group in shard])} for shard in shards],
        override_num_blocks=len(shards),
    )
    told = rows.map_batches(
        _Worker,
        fn_constructor_args=(job, make_inferencer),
        batch_size=1,
        compute=data.ActorPoolStrategy(size=actors),
        num_gpus=1 if with_gpus else None,
    )
    for row in told.iter_rows():
        outcome = json.loads(row['told'])
        if 'error' in outcome:
            raise OutputError(outcome['error'])
        yield outcome


class _Worker:
    """Refines shards in an actor; those that a lost actor began are begun again, without what it had finished."""

    def __init__(self, job: Any, make_inferencer: Callable[[], RefineInferencer]):
        import ray

        self.job: RefineJob = ray.get(job)
        self.inferencer = make_inferencer()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        return {'told': [self._refine(json.loads(shard)) for shard in batch['shard']]}

    def _refine(self, shard: list[list[int]]) -> str:
        groups = [range(*pair) for pair in shard]
        groups = [group for group in groups if not all(map(self.job.parts.has, group))]
        told: dict[str, Any] = {'images': 0, 'masks': 0, 'failed': []}
        try:
            for step in self.job.refine(self.inferencer, groups):
                told['images'] += step.images
                told['masks'] += step.masks
                told['failed'] += step.failed
        except OutputError as error:  # Ray would wrap it in pages of its own
            return json.dumps({'error': str(error)})
        return json.dumps(told)
