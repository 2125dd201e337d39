"""Refinement of the masks of video clips in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmrefine.apis.inferencer import DEFAULT_MODEL, RefineInferencer
from mmrefine.files.digests import digest_of, plain
from mmrefine.jobs.clip_report import VideoReport
from mmrefine.jobs.clip_work import ClipRefiners, ClipWork
from mmrefine.jobs.engine import Job
from mmrefine.jobs.formats import CLIP_WRITERS, open_clips
from mmrefine.jobs.images import check_launch, config_paths, model_name, refiner_digest
from mmrefine.jobs.launch.join import join_processes
from mmrefine.jobs.launch.processes import run_in_processes
from mmrefine.jobs.launch.ray_cluster import run_on_ray
from mmrefine.models.model_zoo import load_config
from mmrefine.models.refiners import BaseRefiner
from mmrefine.models.video import FramewiseVideoRefiner, VideoRefiner


def refine_video(
    frames: str | os.PathLike,
    masks: str | os.PathLike,
    out: str | os.PathLike,
    *,
    model: str | os.PathLike | dict | BaseRefiner | VideoRefiner = DEFAULT_MODEL,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    gate: bool | Mapping = True,
    seed: int = 0,
    min_agreement: float = 0.95,
    sam2: str | os.PathLike | dict | None = None,
    sam2_checkpoint: str | os.PathLike | None = None,
    fast: bool = False,
    prompt_reuse: str = 'pr_gated',
    write: tuple[str, ...] | None = None,
    overlay: bool = False,
    allow_gaps: bool = False,
    videos: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: bool = True,
    launcher: str = 'none',
    actors: int | None = None,
    debug: bool = False,
) -> VideoReport | None:
    """Refine masks of video clips, see :class:`~mmrefine.models.video.FramewiseVideoRefiner`.

    Writes ``masks/<clip>/<frame>.png`` or a JSON file, ``overlays/<clip>.mp4`` and ``summary.json`` under ``out``. A
    job that was interrupted resumes at the clip where it stopped. Clips that cannot be read are skipped and reported.
    The next call tries them again, and repeats clips whose inputs have changed: frames, masks, weights and configs are
    compared by content.

    Args:
        frames, masks, allow_gaps, videos: see :func:`~mmrefine.jobs.formats.open_clips`.
        out: output folder.
        model: a refiner for single frames, see :class:`~mmrefine.apis.inferencer.RefineInferencer`; or a refiner for
            clips, which is not copied.
        checkpoint, device, gate, seed: options of a refiner for single frames, see
            :class:`~mmrefine.apis.inferencer.RefineInferencer`.
        min_agreement: see :class:`~mmrefine.models.video.FramewiseVideoRefiner`.
        sam2: config of a SAM2Refiner. It tracks objects of clips whose masks are prompts, without the refiner for
            single frames; in other clips it replaces optical flow.
        sam2_checkpoint: weights of the SAM2Refiner.
        fast: encode the quadrants of frames at half size: two passes of SAM2Refiner's encoder instead of five.
        prompt_reuse: which of an object's clicks and box SAM2Refiner uses on later frames: 'pr', as in the paper;
            'pr_gated', those that do not contradict SAM 2's own mask; 'none'; 'all', also in SAM 2's decoder. See
            :class:`~mmrefine.models.sam2_refiner.video_predictor.SAM2RefinerVideoPredictor`.
        write: output formats, 'png' and 'json'; None: the format of the masks.
        overlay: draw the masks over the frames.
        overwrite: start from scratch; all files that an earlier job has written to ``out`` are deleted.
        progress: show progress on standard error.
        launcher, actors: see :func:`~mmrefine.jobs.images.refine_dataset`.
        debug: print tracebacks of failed clips.

    Returns:
        the report; with a launcher, only in the first process, None in the others.

    Raises:
        TypeError, ValueError, FileNotFoundError: the arguments are invalid; nothing was written.
        OutputError: results cannot be written, or another run is using the folder.
        LostProcessError: another process has died; call again to resume.

    Example:
        >>> report = refine_video('frames/', 'clip_masks/', 'refined_clips/', device='cpu', progress=False)
        >>> report.total['frames'], report.is_clean
        (1, True)
    """
    check_launch(launcher, actors)
    if fast and sam2 is None:
        raise ValueError('fast is an option of SAM2Refiner; it needs sam2.')
    join_processes(launcher)
    source = open_clips(masks, frames, allow_gaps, videos)
    if source.name == 'prompts' and sam2 is None:
        raise ValueError(f'{masks} contains clicks and boxes, which need SAM2Refiner; set sam2.')
    write = tuple(dict.fromkeys(write or (source.writes,)))
    if set(write) - set(CLIP_WRITERS):
        raise ValueError(f'write must name some of the formats {tuple(sorted(CLIP_WRITERS))}, got {write}.')
    options = {'checkpoint': checkpoint, 'gate': gate, 'seed': seed, 'min_agreement': min_agreement}
    options |= {'sam2': sam2, 'sam2_checkpoint': sam2_checkpoint, 'fast': fast, 'prompt_reuse': prompt_reuse}
    make = partial(build_refiners, model, **options)
    refiners = make(device='cpu' if launcher == 'ray' else device)
    work = ClipWork(
        source,
        [CLIP_WRITERS[name](source) for name in write],
        choices={
            'gate': gate if isinstance(gate, bool) else dict(gate),
            'seed': seed,
            'min_agreement': min_agreement,
            'sam2': sam2 is not None,
            'fast': fast,
            'prompt_reuse': prompt_reuse,
            'allow_gaps': allow_gaps,
        },
        refiner=_digest(refiners, model, sam2, sam2_checkpoint),
        about={
            'frames': str(frames),
            'masks': str(masks),
            'format': source.name,
            'model': type(model).__name__ if isinstance(model, VideoRefiner) else model_name(model, _single(refiners)),
            'checkpoint': None if checkpoint is None else str(checkpoint),
        },
        overlay=overlay,
        paths=[
            ('frames', Path(frames)),
            *([] if videos is None else [('videos', Path(videos))]),
            *config_paths(model, checkpoint, sam2, sam2_checkpoint),
        ],
    )
    job = Job(work, Path(out), debug)
    if launcher == 'ray':
        return run_on_ray(job, partial(make, device=device), actors, overwrite, progress)
    return run_in_processes(job, refiners, overwrite, progress)


def build_refiners(
    model: str | os.PathLike | dict | BaseRefiner | VideoRefiner,
    *,
    checkpoint: str | os.PathLike | None,
    device: str | torch.device | None,
    gate: bool | Mapping,
    seed: int,
    min_agreement: float,
    sam2: str | os.PathLike | dict | None,
    sam2_checkpoint: str | os.PathLike | None,
    fast: bool,
    prompt_reuse: str = 'pr_gated',
) -> ClipRefiners:
    """Build the refiners of clips; the arguments are those of :func:`refine_video`."""
    if isinstance(model, VideoRefiner):
        return ClipRefiners(model, model)
    inferencer = RefineInferencer(model, checkpoint, device, gate, seed)
    tracker = propagator = None
    if sam2 is not None:
        from mmrefine.models.sam2_refiner import SAM2Propagator, TrackingVideoRefiner, build_video_predictor

        # A frame and its two neighbours are used together.
        cached = {'cached_frames': 3, 'prompt_reuse': prompt_reuse, 'tile_scale': 0.5 if fast else None}
        predictor = build_video_predictor(sam2, sam2_checkpoint, device, **cached)
        tracker, propagator = TrackingVideoRefiner(predictor), SAM2Propagator(predictor)
    refiner = FramewiseVideoRefiner(inferencer.refiner, propagator, min_agreement, seed=seed)
    return ClipRefiners(refiner, tracker or refiner)


def _single(refiners: ClipRefiners) -> BaseRefiner:
    """The refiner for single frames."""
    return refiners.refiner.refiner


def _digest(refiners: ClipRefiners, model: Any, sam2: Any, sam2_checkpoint: Any) -> str:
    """Digest of everything that refined masks of clips depend on, except the choices."""
    own = type(model).__name__ if isinstance(model, VideoRefiner) else refiner_digest(_single(refiners), model)
    if sam2 is None:
        return digest_of([own])
    config, default_checkpoint = load_config(sam2)
    weights = sam2_checkpoint if sam2_checkpoint is not None else default_checkpoint
    return digest_of([own, plain(config['model']), plain(None if weights is None else str(weights))])
