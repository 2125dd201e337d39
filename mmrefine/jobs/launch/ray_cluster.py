"""One job on a Ray cluster with a shared disk; Ray restarts lost actors and their shards."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from mmrefine.files.atomic import OutputError
from mmrefine.jobs.engine import Job
from mmrefine.jobs.launch.processes import sigterm_as_interrupt
from mmrefine.jobs.progress import JobProgress
from mmrefine.jobs.shares import ShareRunner
from mmrefine.jobs.work import Progress, Share
from mmrefine.utils import require

# Many small shards: little is lost with an actor, and all actors finish at about the same time.
_SHARDS_PER_ACTOR = 16


def run_on_ray(
    job: Job,
    make_model: Callable[[], Any],
    actors: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Any:
    """Run or resume a job in actors of the current Ray cluster, or of a new one on this machine.

    Args:
        job: a job that was not started.
        make_model: returns the model of the work; called in each actor.
        actors: number of actors; None: one per GPU, or per CPU core if there are none.
        overwrite: delete the results of an earlier job.
        progress: show progress on standard error.

    Raises:
        ImportError: Ray Data is not installed.
        ValueError, OutputError: see :meth:`~mmrefine.jobs.engine.Job.start` and
            :meth:`~mmrefine.jobs.engine.Job.refine`.
    """
    ray = require('ray', 'pip install "ray[data]"', 'the launcher "ray"')
    data = require('ray.data', 'pip install "ray[data]"', 'the launcher "ray"')
    with job, sigterm_as_interrupt():
        left, failed = job.start(overwrite), []
        if not left and job.is_concluded():
            return job.report()
        ray.init(ignore_reinit_error=True, logging_level='warning', include_dashboard=False)
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger('ray.data').setLevel(logging.WARNING)
        num_gpus = int(ray.cluster_resources().get('GPU', 0))
        actors = actors or num_gpus or int(ray.cluster_resources()['CPU'])
        shards = [shard for shard in job.shards(left, actors * _SHARDS_PER_ACTOR) if shard]
        with JobProgress(job.work.count(left), progress, job.work.unit) as bar:
            units = masks = 0
            for totals in _refine_shards(
                data, ray.put(job), make_model, shards, min(actors, len(shards)), num_gpus > 0
            ):
                units, masks = units + totals['units'], masks + totals['masks']
                failed += totals['failed']
                bar.show(units, masks)
        return job.conclude(failed)


def _refine_shards(
    data: Any,
    job: Any,
    make_model: Callable[[], Any],
    shards: list[list[Share]],
    actors: int,
    with_gpus: bool,
) -> Any:
    """Yield the totals of each shard when its actor has finished it."""
    if not shards:
        return
    rows = data.from_items(
        [{'shard': json.dumps(shard)} for shard in shards],
        override_num_blocks=len(shards),
    )
    results = rows.map_batches(
        _Worker,
        fn_constructor_args=(job, make_model),
        batch_size=1,
        compute=data.ActorPoolStrategy(size=actors),
        num_gpus=1 if with_gpus else None,
    )
    for row in results.iter_rows():
        outcome = json.loads(row['totals'])
        if 'error' in outcome:
            raise OutputError(outcome['error'])
        yield outcome


class _Worker:
    """Actor that refines shards; the shard of a lost actor is resumed where it stopped."""

    def __init__(self, job: Any, make_model: Callable[[], Any]):
        import ray

        self.job: Job = ray.get(job)
        self.model = make_model()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        return {'totals': [self._refine(json.loads(shard)) for shard in batch['shard']]}

    def _refine(self, shard: list[list]) -> str:
        shares = self.job.still_left(Share(*share) for share in shard)
        totals: dict[str, Any] = {'units': 0, 'masks': 0, 'failed': []}

        def on_progress(progress: Progress) -> None:
            totals['units'] += progress.units
            totals['masks'] += progress.masks
            totals['failed'] += progress.failed

        try:
            ShareRunner(self.job, self.model, on_progress).run(shares)
        except OutputError as error:  # Ray would wrap it in a long traceback
            return json.dumps({'error': str(error)})
        return json.dumps(totals)
