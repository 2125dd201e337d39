"""Work of a job on clips: refines frame by frame, stores masks as RLE, writes clip by clip.

Legend: N objects, H and W in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmrefine.core.rle import encode_rle
from mmrefine.files.clip_masks import ClipMasks
from mmrefine.files.digests import digest_of
from mmrefine.files.video_frames import VideoFrames
from mmrefine.jobs.clip_report import ClipStatistics, VideoReport
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_value
from mmrefine.jobs.formats.clips import ClipFormat, ClipTask, ClipWriter, RefinedClip
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.report import versions
from mmrefine.jobs.work import SUMMARY, Progress, Share, Work
from mmrefine.models.video import FlowPropagator, VideoRefiner
from mmrefine.visualization.overlay import OverlayVideo, draw_overlay


class ClipRefiners(NamedTuple):
    """Refiners of a job on clips.

    Attributes:
        refiner: refines clips with masks on all frames.
        tracker: refines clips whose masks are prompts.
    """

    refiner: VideoRefiner
    tracker: VideoRefiner


class LoadedClip(NamedTuple):
    """An open clip, whose frames are read on demand."""

    task: ClipTask
    frames: VideoFrames
    masks: ClipMasks


class ClipWork(Work):
    """Work on clips; the model is :class:`ClipRefiners`.

    Args:
        source: the coarse masks.
        writers: writers of the refined masks.
        choices, refiner, about: see :class:`~mmrefine.jobs.work.Work`.
        overlay: whether to draw the masks over the frames.
        paths: further inputs, with their roles.
    """

    unit = 'frames'
    reports_progress = True

    def __init__(
        self,
        source: ClipFormat,
        writers: list[ClipWriter],
        choices: dict[str, Any],
        refiner: str,
        about: dict[str, Any] | None = None,
        overlay: bool = False,
        paths: Iterable[tuple[str, Path]] = (),
    ):
        self.source, self.writers, self.tasks = source, writers, source.tasks
        self.choices, self.about, self.overlay = choices, about or {}, overlay
        self.refiner = digest_of([source.name, choices, refiner])
        self._more_paths = list(paths)
        self._outputs: dict[int, list[str]] = {}

    # ---- tasks ----

    def groups(self) -> list[range]:
        return [range(task.index, task.index + 1) for task in self.tasks]

    def count(self, shares: Iterable[Share]) -> int:
        return sum(len(self._frame_names(self.tasks[index])) for share in shares for index in share.todo)

    def paths(self) -> Iterator[tuple[str, Path]]:
        yield 'coarse masks', self.source.path
        yield from self._more_paths
        for task in self.tasks:
            if not task.problem:
                yield from (('frame', path) for path in self.source.frame_paths(task))

    def inputs(self, task: ClipTask) -> dict[str, Fingerprint]:
        if task.problem:
            return {}
        return {'frames': self.source.frames_fingerprint(task), 'masks': self.source.masks_fingerprint(task)}

    def outputs(self, task: ClipTask) -> list[str]:
        if task.index not in self._outputs:
            self._outputs[task.index] = self._list_outputs(task)
        return self._outputs[task.index]

    def _list_outputs(self, task: ClipTask) -> list[str]:
        if not self._frame_names(task):  # loading it raises the reason
            return []
        names = [name for writer in self.writers for name in writer.outputs(task)]
        return [*names, *([f'overlays/{task.name}.mp4'] if self.overlay else [])]

    def _frame_names(self, task: ClipTask) -> list[str]:
        if task.problem:
            return []
        try:
            return self.source.frame_names(task)
        except (OSError, ValueError):
            return []

    def final_outputs(self) -> list[str]:
        return [name for writer in self.writers for name in writer.final_outputs()]

    def final_digest(self) -> str:
        return self.source.final_digest()

    def report_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_value(None)

    # ---- a clip ----

    def load(self, task: ClipTask) -> LoadedClip:
        if task.problem:
            raise ValueError(task.problem)
        return LoadedClip(task, *self.source.open(task))

    def refine(
        self, model: ClipRefiners, loaded: list[LoadedClip], on_progress: Callable[[Progress], None]
    ) -> list[dict | Exception]:
        return [self._refine_clip(model, clip, on_progress) for clip in loaded]

    def _refine_clip(self, model: ClipRefiners, clip: LoadedClip, on_progress: Callable[[Progress], None]) -> dict:
        unreadable = clip.frames.unreadable
        indices = [index for index in range(len(clip.frames)) if index not in unreadable]
        frames, masks = clip.frames.select(indices), clip.masks.select(indices)
        if (
            unreadable
            and not masks.clicks
            and not any(mask is not None for index in range(len(indices)) for mask in masks.load(index))
        ):
            raise ValueError(f'no frame that can be used has a mask: {next(iter(unreadable.values()))}')
        chosen = model.tracker if masks.are_prompts else model.refiner
        # Flow that the refiner computes anyway is reused.
        own = getattr(chosen, 'propagator', None)
        statistics = ClipStatistics(frames, own if isinstance(own, FlowPropagator) else FlowPropagator())
        rles, scores = [], []
        results = chosen.refine_clip(frames, masks)
        for index in range(len(clip.frames)):
            if index in unreadable:  # as if it were not in the clip
                found, known = clip.masks.load(index), np.zeros(len(masks.object_ids))
            else:
                result = next(results)
                statistics.add(result)
                found, known = result.masks, result.scores
            rles.append([encode_rle(mask) if mask is not None and mask.any() else None for mask in found])
            scores.append([round(float(score), 6) if np.isfinite(score) else 0.0 for score in known])
            on_progress(Progress(1, len(found), []))
        problems = [item for item in masks.unusable if item[0] not in unreadable]
        problems += [[index, None, f'{reason} Its masks are kept.'] for index, reason in unreadable.items()]
        refined = RefinedClip(
            clip.frames.size_hw,
            masks.object_ids,
            masks.categories,
            list(clip.frames.names),
            clip.frames.suffix,
            rles,
            scores,
            problems,
        )
        return {**asdict(refined), 'statistics': statistics.entry()}

    def deliver(self, loaded: LoadedClip, masks: dict, out: OutputFolder) -> dict:
        task, clip = loaded.task, refined_clip(masks)
        for writer in self.writers:
            writer.write(task, clip, out)
        if self.overlay:
            self._draw(loaded, clip, out)
        problems = [
            {
                'frame': None if frame is None else clip.frame_names[frame],
                'object': None if row is None else clip.object_ids[row],
                'error': reason,
            }
            for frame, row, reason in clip.unusable
        ]
        return {'entry': {'clip': task.name, **masks['statistics']}, 'problems': problems}

    @staticmethod
    def _draw(loaded: LoadedClip, clip: RefinedClip, out: OutputFolder) -> None:
        name = f'overlays/{loaded.task.name}.mp4'
        unfinished = out.unfinished(name).with_suffix('.drawn.mp4')  # OpenCV needs a path to write to
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        with OverlayVideo(unfinished, clip.size_hw, loaded.frames.fps) as video:
            for index in range(len(loaded.frames)):
                if index in loaded.frames.unreadable:
                    video.add(np.zeros((*clip.size_hw, 3), np.uint8))
                else:
                    video.add(draw_overlay(loaded.frames[index], clip.masks(index), clip.object_ids))
        with out.open(name, 'wb') as file, open(unfinished, 'rb') as drawn:
            while chunk := drawn.read(2**20):
                file.write(chunk)
        unfinished.unlink()

    # ---- final files ----

    def conclude(
        self,
        done: Callable[[], Iterator[tuple[ClipTask, dict]]],
        failed: list[dict],
        head: dict,
        out: OutputFolder,
    ) -> VideoReport:
        clips, problems = [], []
        for task, record in done():
            delivered = record['delivered']['report']
            clips.append(delivered['entry'])
            problems += [{'clip': task.name, **problem} for problem in delivered['problems']]
        failures = [{'clip': failure['name'], 'error': failure['error']} for failure in failed]
        report = VideoReport(clips, failures, problems)
        for writer in self.writers:
            writer.finish(((task, refined_clip(record['masks'])) for task, record in done()), out)
        content = {'total': report.total, 'failed': failures, 'problems': problems, **head, 'versions': versions()}
        with out.open(SUMMARY) as file:
            json.dump({**content, 'clips': clips}, file, indent=1)
        return report

    def read_report(self, summary: Path) -> VideoReport:
        known = json.loads(summary.read_text(encoding='utf-8'))
        return VideoReport(known['clips'], known['failed'], known['problems'])


def refined_clip(masks: dict) -> RefinedClip:
    """The refined clip that a record stores."""
    known = {key: value for key, value in masks.items() if key != 'statistics'}
    return RefinedClip(**{**known, 'size_hw': tuple(known['size_hw'])})
