"""Refining the masks of a whole data set: read, refine, write as it comes, go on after a kill."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmrefine.apis.inferencer import DEFAULT_MODEL, RefineInferencer
from mmrefine.files.mask_sources import open_masks
from mmrefine.jobs.launch.join import join_processes
from mmrefine.jobs.launch.processes import run_in_processes
from mmrefine.jobs.launch.ray_cluster import run_on_ray
from mmrefine.jobs.refine_job import RefineJob
from mmrefine.jobs.report import JobReport
from mmrefine.jobs.truth import open_truth
from mmrefine.models.model_zoo import load_config
from mmrefine.models.refiners import BaseRefiner


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
    launcher: str = 'none',
    actors: int | None = None,
) -> JobReport | None:
    """Refine masks in files and write them in the kind in which they came, with a ``summary.json``.

    A job that was killed goes on where it was when it is called again with the same arguments, and ends with the same
    files; so does one that is done by several processes, whose number may change. Images that cannot be read or
    refined, or do not fit their masks, are skipped and reported; a next call tries them again.

    Args:
        images, masks, semantic, ignore_label, background_label, cam_threshold, image_root: see
            :func:`~mmrefine.files.mask_sources.open_masks`.
        ignore_band: see :class:`~mmrefine.jobs.writers.LabelMapWriter`.
        out: folder for the results.
        model, checkpoint, device, gate, seed, batch_masks: see :class:`~mmrefine.apis.inferencer.RefineInferencer`.
        gt: ground truth of the same kind as the masks, see :func:`~mmrefine.jobs.truth.open_truth`.
        pictures: of how many images before/after pictures are drawn; None for all.
        workers: threads that read images ahead.
        overwrite: start anew in a folder that holds results of other settings.
        progress: show it on standard error.
        launcher: what started this process and others like it, which must share the disk: ``'pytorch'``, ``'slurm'`` or
            ``'mpi'``, see :func:`~mmrefine.jobs.launch.join.join_processes`; ``'ray'`` hands the work to a Ray cluster.
        actors: how many Ray actors; None: one per GPU of the cluster, or per core where there are none.

    Returns:
        What was done; None in all processes of a launcher but the first.

    Raises:
        TypeError, ValueError, FileNotFoundError: the arguments are wrong; nothing was written.
        OutputError: results cannot be written.
        LostProcessError: another process has died; a next call goes on.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}.')
    if actors is not None and (launcher != 'ray' or actors < 1):
        raise ValueError(f'actors goes with launcher "ray" and must be at least 1, got {actors} with "{launcher}".')
    join_processes(launcher)
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
    make_inferencer = partial(RefineInferencer, model, checkpoint, gate=gate, seed=seed, batch_masks=batch_masks)
    inferencer = make_inferencer(device='cpu' if launcher == 'ray' else device)
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
    job = RefineJob(source, Path(out), settings, truth, pictures, batch_masks, workers, ignore_band)
    if launcher == 'ray':
        return run_on_ray(job, partial(make_inferencer, device=device), actors, overwrite, progress)
    return run_in_processes(job, inferencer, overwrite, progress)


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
