"""Refinement of the masks of a dataset in files."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmrefine.apis.inferencer import DEFAULT_MODEL, RefineInferencer
from mmrefine.core.regions import SPLITS
from mmrefine.files.activation_maps import DEFAULT_NAMES, MapNames
from mmrefine.files.digests import digest_of, plain
from mmrefine.jobs.decide import save_arguments
from mmrefine.jobs.engine import Job
from mmrefine.jobs.formats import FormatOptions, open_ground_truth, open_masks
from mmrefine.jobs.image_work import ImageWork
from mmrefine.jobs.launch.join import join_processes
from mmrefine.jobs.launch.processes import run_in_processes
from mmrefine.jobs.launch.ray_cluster import run_on_ray
from mmrefine.jobs.report import JobReport
from mmrefine.models.model_zoo import load_config
from mmrefine.models.refiners import BaseRefiner
from mmrefine.models.state_dicts import weights_digest


def refine_dataset(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    out: str | os.PathLike,
    *,
    model: str | os.PathLike | dict | BaseRefiner = DEFAULT_MODEL,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    gate: bool | Mapping = True,
    seed: int = 0,
    format: str | None = None,
    semantic: bool = False,
    ignore_label: int | None = 255,
    background_label: int | None = 0,
    cam_threshold: float | None = None,
    cam_names: MapNames = DEFAULT_NAMES,
    split: str = SPLITS[0],
    ignore_band: bool = False,
    polygons: float | None = None,
    crowds: bool = False,
    image_root: str | os.PathLike | None = None,
    gt: str | os.PathLike | None = None,
    pictures: int | None = 0,
    batch_masks: int = 8,
    workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
    launcher: str = 'none',
    actors: int | None = None,
    debug: bool = False,
) -> JobReport | None:
    """Refine masks in files and write them in their own format, with a ``summary.json``.

    A job that was interrupted resumes when it is called again with the same arguments, and the files are the same as
    without the interruption; they do not depend on the number of processes either. Later calls repeat images whose
    inputs have changed: images, masks, weights and configs are compared by content. Images that cannot be read or
    refined, or do not match their masks, are skipped and reported; the next call tries them again.

    Args:
        images, masks, format, image_root: see :func:`~mmrefine.jobs.formats.open_masks`.
        out: output folder.
        model, checkpoint, device, gate, seed, batch_masks: see :class:`~mmrefine.apis.inferencer.RefineInferencer`.
        semantic: the PNG files are label maps.
        ignore_label: void label of label maps, which is not changed; None if there is none.
        background_label: background label of label maps, which is not refined; None if every label is an object.
        cam_threshold: the masks are class activation maps, cut at this score.
        cam_names: keys and class numbering of the tool that wrote them.
        split: how label maps are split into regions, see :func:`~mmrefine.core.regions.split_label_map`.
        ignore_band: see :class:`~mmrefine.jobs.formats.label_maps.LabelMaps`.
        polygons: write refined masks of COCO files as polygons with this tolerance in pixels, instead of RLE; see
            :mod:`mmrefine.core.outlines`.
        crowds: refine COCO's crowds too; some tools mark every RLE as a crowd.
        gt: ground truth in the format of the masks.
        pictures: number of images for which before/after pictures are drawn; None: all.
        workers: number of threads that read images ahead.
        overwrite: start from scratch; all files that an earlier job has written to ``out`` are deleted.
        progress: show progress on standard error.
        launcher: what started the processes of the job, which must share a disk: ``'pytorch'``, ``'slurm'`` or
            ``'mpi'``, see :func:`~mmrefine.jobs.launch.join.join_processes`; ``'ray'`` runs on a Ray cluster.
        actors: number of Ray actors; None: one per GPU of the cluster, or per CPU core if there are none.
        debug: print tracebacks of failed images.

    Returns:
        the report; with a launcher, only in the first process, None in the others.

    Raises:
        TypeError, ValueError, FileNotFoundError: the arguments are invalid; nothing was written.
        OutputError: results cannot be written, or another run is using the folder.
        LostProcessError: another process has died; call again to resume.

    Example:
        >>> report = refine_dataset('photos/', 'masks/', 'refined/', device='cpu', progress=False)
        >>> report.total['masks'], report.is_clean
        (1, True)
    """
    check_launch(launcher, actors, workers)
    join_processes(launcher)
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}.')
    options = FormatOptions(
        semantic, ignore_label, background_label, cam_threshold, ignore_band, cam_names, split, polygons, crowds
    )
    source = open_masks(masks, images, image_root=image_root, format=format, options=options)
    if polygons is not None and source.name != 'coco':
        raise ValueError(f'polygons needs COCO files, got masks of the format {source.name}.')
    if crowds and source.name != 'coco':
        raise ValueError(f'crowds needs COCO files, got masks of the format {source.name}.')
    ground_truth = None if gt is None else open_ground_truth(source, gt)
    make_inferencer = partial(RefineInferencer, model, checkpoint, gate=gate, seed=seed, batch_masks=batch_masks)
    inferencer = make_inferencer(device='cpu' if launcher == 'ray' else device)
    work = ImageWork(
        source,
        choices={'gate': gate if isinstance(gate, bool) else dict(gate), 'seed': seed},
        refiner=refiner_digest(inferencer.refiner, model),
        about={
            'images': str(images),
            'masks': str(masks),
            'format': source.name,
            'gt': None if gt is None else str(gt),
            'model': model_name(model, inferencer.refiner),
            'checkpoint': None if checkpoint is None else str(checkpoint),
        },
        ground_truth=ground_truth,
        pictures=pictures,
        batch_masks=batch_masks,
        workers=workers,
        paths=config_paths(model, checkpoint),
    )
    job = Job(work, Path(out), debug)
    job.on_start = partial(
        save_arguments,
        job.state,
        {'images': images, 'masks': masks, 'image_root': image_root, 'gt': gt},
        options,
        format=source.name,
        pictures=pictures,
        about=work.about,
    )
    if launcher == 'ray':
        return run_on_ray(job, partial(make_inferencer, device=device), actors, overwrite, progress)
    return run_in_processes(job, inferencer, overwrite, progress)


def check_launch(launcher: str, actors: int | None, workers: int = 1) -> None:
    """Check the options of launchers.

    Raises:
        ValueError: a number out of range, or actors without Ray.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}.')
    if actors is not None and (launcher != 'ray' or actors < 1):
        raise ValueError(f'actors needs launcher "ray" and must be at least 1, got {actors} with "{launcher}".')


def refiner_digest(refiner: BaseRefiner, model: Any) -> str:
    """Digest of everything that results depend on: the refiner's config, files that it names, gate and weights."""
    is_built = isinstance(model, BaseRefiner)
    config = _constructor_arguments(model) if is_built else plain(load_config(model)[0]['model'])
    gate = refiner.gate
    gate = dataclasses.asdict(gate) if dataclasses.is_dataclass(gate) else str(gate)
    return digest_of([type(refiner).__name__, plain(config), gate, weights_digest(refiner.state_dict())])


def _constructor_arguments(refiner: BaseRefiner) -> dict[str, Any]:
    """Arguments of a refiner that was not built from a config, as far as it stores them in attributes."""
    arguments = inspect.signature(type(refiner).__init__).parameters
    kept = {name: value for name, value in vars(refiner).items() if name in arguments}
    return {
        name: value for name, value in kept.items() if isinstance(value, (str, int, float, bool, tuple, type(None)))
    }


def model_name(model: Any, refiner: BaseRefiner) -> str:
    """Name of a refiner in the summary."""
    return str(model) if isinstance(model, (str, os.PathLike)) else type(refiner).__name__


def config_paths(*names: Any) -> list[tuple[str, Path]]:
    """Paths among configs and checkpoints, with their roles."""
    return [('config or weights', Path(name)) for name in names if _is_file(name)]


def _is_file(name: Any) -> bool:
    try:
        return isinstance(name, (str, os.PathLike)) and Path(name).is_file()
    except (OSError, ValueError):
        return False
