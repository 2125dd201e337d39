"""Refining the masks of clips: read, refine, write clip by clip, go on after a kill."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrefine.apis.inferencer import DEFAULT_MODEL, RefineInferencer
from mmrefine.core.temporal import change
from mmrefine.files.atomic import OutputError, remove_results, whole_file
from mmrefine.files.video_frames import VideoFrames
from mmrefine.files.video_masks import Clip, ClipMasks, JsonVideos, VideoSource, open_videos
from mmrefine.jobs.files import PartStore, check_same_settings
from mmrefine.jobs.progress import JobProgress
from mmrefine.jobs.report import versions
from mmrefine.jobs.video_writers import PngFolder, encode_frame, object_records, write_json_videos
from mmrefine.models.refiners import BaseRefiner
from mmrefine.models.video import FlowPropagator, FrameResult, FramewiseVideoRefiner, VideoRefiner
from mmrefine.visualization.overlay import OverlayVideo, draw_overlay

FORMATS = ('png', 'json')


@dataclass(frozen=True)
class VideoReport:
    """What a job did.

    Attributes:
        clips: one entry for each clip that was done, with counts and flicker.
        failed: ``{'clip': ..., 'error': ...}`` for each that was skipped.
    """

    clips: list[dict]
    failed: list[dict]

    @property
    def total(self) -> dict[str, Any]:
        """Sums of the counts, and flicker over all steps of all objects; None where there is none."""
        total: dict[str, Any] = {'clips': len(self.clips), 'failed_clips': len(self.failed)}
        total |= {key: sum(clip[key] for clip in self.clips) for key in ('frames', 'masks', 'anew')}
        for side in ('coarse', 'refined'):
            pairs = [clip['flicker'][side] for clip in self.clips]
            steps = sum(count for _, count in pairs)
            total[f'flicker_{side}'] = sum(amount for amount, _ in pairs) / steps if steps else None
        return total


def refine_video(
    frames: str | os.PathLike,
    masks: str | os.PathLike,
    out: str | os.PathLike,
    *,
    model: str | os.PathLike | dict | BaseRefiner | VideoRefiner = DEFAULT_MODEL,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    gate: bool = True,
    seed: int = 0,
    min_agreement: float = 0.95,
    sam2: str | os.PathLike | dict | None = None,
    sam2_checkpoint: str | os.PathLike | None = None,
    fast: bool = False,
    write: tuple[str, ...] | None = None,
    overlay: bool = False,
    allow_gaps: bool = False,
    videos: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> VideoReport:
    """Refine masks of clips, see :class:`~mmrefine.models.video.FramewiseVideoRefiner`.

    Under ``out`` are ``masks/<clip>/<frame>.png``, a JSON file, ``overlays/<clip>.mp4``, ``summary.json``, and while
    clips are missing ``.parts/``. A job that was killed goes on with the clip where it was. Clips that cannot be read
    are skipped and reported; a next call tries them again.

    Args:
        frames, masks, allow_gaps, videos: see :func:`~mmrefine.files.video_masks.open_videos`.
        out: folder for the results.
        model: a refiner for single frames, see :class:`~mmrefine.apis.inferencer.RefineInferencer`; or one for clips,
            which is used as it is.
        checkpoint, device, gate, seed: of a refiner for single frames, see the same.
        min_agreement: see :class:`~mmrefine.models.video.FramewiseVideoRefiner`.
        sam2: config of a SAM2Refiner, see :func:`~mmrefine.models.sam2_refiner.build_video_predictor`. Objects of clips
            whose masks are prompts are followed by it, without the refiner for single frames; in other clips it takes
            the place of optical flow.
        sam2_checkpoint: its weights.
        fast: SAM2Refiner encodes the quadrants of frames at half size: two passes of the encoder instead of five.
        write: formats, of 'png' and 'json'; None: that in which the masks came.
        overlay: draw the masks over the frames.
        overwrite: start anew in a folder that holds results of other settings.
        progress: show it on standard error.

    Raises:
        TypeError, ValueError, FileNotFoundError: the arguments are wrong; nothing was written.
        OutputError: results cannot be written.
    """
    source = open_videos(masks, frames, allow_gaps, videos)
    if fast and sam2 is None:
        raise ValueError('fast is about the quadrants of SAM2Refiner; it needs sam2.')
    write = write or (('json',) if isinstance(source, JsonVideos) else ('png',))
    if set(write) - set(FORMATS):
        raise ValueError(f'write must name formats out of {FORMATS}, got {write}.')
    if (Path(out) / 'masks').resolve() == source.path.resolve() or Path(out).resolve() == source.path.parent.resolve():
        raise ValueError(f'refined masks could overwrite the coarse ones in {source.path}; choose another --out.')
    if isinstance(model, VideoRefiner):
        refiner, tracker, described = model, model, type(model).__name__
    else:
        inferencer = RefineInferencer(model, checkpoint, device, gate, seed)
        tracker = propagator = None
        if sam2 is not None:
            from mmrefine.models.sam2_refiner import SAM2Propagator, TrackingVideoRefiner, build_video_predictor

            # Neighbouring frames are asked one after the other: three sets of features are kept.
            options = {'cached_frames': 3, 'prompt_reuse': 'pr_gated', 'tile_scale': 0.5 if fast else None}
            predictor = build_video_predictor(sam2, sam2_checkpoint, device, **options)
            tracker, propagator = TrackingVideoRefiner(predictor), SAM2Propagator(predictor)
        refiner = FramewiseVideoRefiner(inferencer.refiner, propagator, min_agreement, seed=seed)
        tracker = tracker or refiner
        described = str(model) if isinstance(model, (str, os.PathLike)) else type(inferencer.refiner).__name__
    settings = {
        'frames': str(frames),
        'masks': str(masks),
        'masks_digest': source.digest,
        'model': described,
        'checkpoint': None if checkpoint is None else str(checkpoint),
        'gate': gate,
        'seed': seed,
        'min_agreement': min_agreement,
        'sam2': None if sam2 is None else str(sam2),
        'sam2_checkpoint': None if sam2_checkpoint is None else str(sam2_checkpoint),
        'fast': fast,
        'write': list(write),
        'overlay': overlay,
    }
    return _VideoJob(source, refiner, tracker, Path(out), settings).run(overwrite, progress)


class _VideoJob:
    """One pass over the clips of a source; see :func:`refine_video`."""

    def __init__(self, source: VideoSource, refiner: VideoRefiner, tracker: VideoRefiner, out: Path, settings: dict):
        self.source, self.refiner, self.tracker = source, refiner, tracker
        self.out, self.settings = out, settings
        self._parts_folder, self._summary = out / '.parts', out / 'summary.json'
        self._done = (0, 0)  # frames and masks, for the progress
        # Where the refiner computes flow itself it is not done twice.
        own = getattr(refiner, 'propagator', None)
        self._flows = own if isinstance(own, FlowPropagator) else FlowPropagator()

    def run(self, overwrite: bool, progress: bool) -> VideoReport:
        if overwrite:
            remove_results(self._parts_folder, self._summary)
        if self._summary.is_file():
            known = json.loads(self._summary.read_text(encoding='utf-8'))
            check_same_settings(known['settings'], self.settings, self.out)
            if not known['failed']:
                return VideoReport(known['clips'], [])
        parts = PartStore(self._parts_folder, self.settings)
        failed: list[dict] = []
        opened = self._open([clip for clip in self.source.clips if not parts.has(clip.index)], failed)
        with JobProgress(sum(count for _, count in opened), progress, 'frames') as bar:
            for clip, _ in opened:
                try:
                    parts.write(clip.index, self._refine(clip, bar))
                except OutputError:
                    raise
                except (OSError, ValueError, MemoryError, torch.OutOfMemoryError) as error:
                    failed.append({'clip': clip.name, 'error': str(error)})
        return self._conclude(parts, failed)

    def _open(self, clips: list[Clip], failed: list[dict]) -> list[tuple[Clip, int]]:
        """Clips that can be opened and how many frames they have, so that the time left can be told."""
        opened = []
        for clip in clips:
            try:
                opened.append((clip, len(self.source.open(clip)[0])))
            except (OSError, ValueError) as error:
                failed.append({'clip': clip.name, 'error': str(error)})
        return opened

    def _refine(self, clip: Clip, bar: JobProgress) -> dict:
        """Do a clip; its files appear when all of it is done."""
        frames, masks = self.source.open(clip)
        tally = _Tally(frames, self._flows)
        rows: list[list] = []
        self._flows.start_clip()
        with ExitStack() as stack:
            png = video = None
            if 'png' in self.settings['write']:
                png = stack.enter_context(PngFolder(self.out / 'masks' / clip.name, masks.object_ids))
            if self.settings['overlay']:
                path = self.out / 'overlays' / f'{clip.name}.mp4'
                video = stack.enter_context(OverlayVideo(path, frames.size_hw, frames.fps))
            chosen = self.tracker if masks.are_prompts else self.refiner
            for result in chosen.refine_clip(frames, masks):
                tally.add(result)
                if png:
                    png.add(frames.names[result.index], result)
                if video:
                    video.add(draw_overlay(frames[result.index], result.masks, masks.object_ids))
                if 'json' in self.settings['write']:
                    rows.append(encode_frame(result.masks))
                self._done = (self._done[0] + 1, self._done[1] + len(result.masks))
                bar.show(*self._done)
        return {'entry': {'clip': clip.name, **tally.entry()}, **self._for_json(clip, frames, masks, rows)}

    def _for_json(self, clip: Clip, frames: VideoFrames, masks: ClipMasks, rows: list[list]) -> dict:
        if not rows:
            return {}
        columns = [list(column) for column in zip(*rows, strict=True)]
        records = object_records(clip, masks, columns, frames.size_hw)
        names = [f'{clip.name}/{name}{frames.suffix}' for name in frames.names]
        return {'records': records, 'file_names': names, 'size_hw': list(frames.size_hw)}

    def _conclude(self, parts: PartStore, failed: list[dict]) -> VideoReport:
        done = [clip for clip in self.source.clips if parts.has(clip.index)]
        report = VideoReport([parts.read(clip.index)['entry'] for clip in done], failed)
        if 'json' in self.settings['write']:
            name = self.source.path.name if isinstance(self.source, JsonVideos) else 'masks.json'
            write_json_videos(self.out / name, self.source, ((clip, parts.read(clip.index)) for clip in done))
        content = {'total': report.total, 'failed': failed, 'settings': self.settings, 'versions': versions()}
        with whole_file(self._summary) as file:
            json.dump({**content, 'clips': report.clips}, file, indent=1)
        if not failed:
            remove_results(self._parts_folder)
        return report


class _Tally:
    """Counts over the frames of a clip, and the steps of :func:`mmrefine.core.temporal.flicker`, one by one."""

    def __init__(self, frames: VideoFrames, flows: FlowPropagator):
        self.frames, self.flows = frames, flows
        self.counts = dict.fromkeys(('frames', 'masks', 'anew'), 0)
        self.steps: dict[str, list[float]] = {'coarse': [], 'refined': []}
        self.before: FrameResult | None = None

    def add(self, result: FrameResult) -> None:
        """The next frame."""
        self.counts['frames'] += 1
        self.counts['masks'] += int(np.count_nonzero(result.masks.any(axis=(1, 2))))
        self.counts['anew'] += int(np.count_nonzero(result.anew))
        if self.before is not None:
            flow = self.flows.flow(self.frames, result.index, self.before.index)
            for place in range(len(result.masks)):
                self._step('refined', self.before.masks[place], result.masks[place], flow)
                if result.given[place] and self.before.given[place]:
                    self._step('coarse', self.before.coarse_masks[place], result.coarse_masks[place], flow)
        self.before = result

    def _step(self, side: str, before: np.ndarray, mask: np.ndarray, flow: np.ndarray) -> None:
        amount = change(before, mask, flow)
        if amount is not None:
            self.steps[side].append(amount)

    def entry(self) -> dict:
        """Counts, and by side the sum and the number of flicker's steps."""
        return {**self.counts, 'flicker': {side: [math.fsum(steps), len(steps)] for side, steps in self.steps.items()}}


def format_video_report(report: VideoReport) -> str:
    """A line for each clip and one with the totals."""
    lines = [_line(entry['clip'], VideoReport([entry], []).total) for entry in report.clips]
    return '\n'.join([*lines, _line(f'total: {len(report.clips)} clips', report.total)])


def _line(name: str, total: dict) -> str:
    flickers = [total[f'flicker_{side}'] for side in ('coarse', 'refined')]
    shown = ' -> '.join('-' if value is None else f'{value:.3f}' for value in flickers)
    return f'{name}: {total["frames"]} frames, {total["masks"]} masks, {total["anew"]} started anew, flicker {shown}'
