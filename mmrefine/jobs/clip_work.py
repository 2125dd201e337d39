"""Work of a job on clips: refines frame by frame, stores masks as RLE, writes clip by clip.

Legend: N objects, H and W in pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmrefine.core.rle import encode_rle
from mmrefine.core.temporal import flicker_step
from mmrefine.files.clip_masks import ClipMasks
from mmrefine.files.digests import digest_of
from mmrefine.files.names import printable
from mmrefine.files.video_frames import VideoFrames
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_value
from mmrefine.jobs.formats.clips import ClipFormat, ClipTask, ClipWriter, RefinedClip
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.report import versions
from mmrefine.jobs.work import SUMMARY, Progress, Share, Work
from mmrefine.models.video import FlowPropagator, FrameResult, VideoRefiner
from mmrefine.utils import counted
from mmrefine.visualization.overlay import OverlayVideo, draw_overlay


@dataclass(frozen=True)
class VideoReport:
    """Report of a job on clips.

    Attributes:
        clips: one entry for each refined clip, with counts and flicker.
        failed: ``{'clip': ..., 'error': ...}`` for each clip that was skipped.
        problems: ``{'clip': ..., 'frame': ..., 'object': ..., 'error': ...}`` for each mask that could not be used;
            frame or object is None if the problem concerns all of them.
    """

    clips: list[dict]
    failed: list[dict]
    problems: list[dict] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether no clip was skipped and every mask could be used."""
        return not self.failed and not self.problems

    @property
    def total(self) -> dict[str, Any]:
        """Sums of the counts, and mean flicker over all steps of all objects; None if there are none."""
        total: dict[str, Any] = {'clips': len(self.clips), 'failed_clips': len(self.failed)}
        total |= {key: sum(clip[key] for clip in self.clips) for key in ('frames', 'masks', 'anew')}
        total['problems'] = len(self.problems)
        for side in ('coarse', 'refined'):
            pairs = [clip['flicker'][side] for clip in self.clips]
            steps = sum(count for _, count in pairs)
            total[f'flicker_{side}'] = sum(amount for amount, _ in pairs) / steps if steps else None
        return total


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
        statistics = _ClipStatistics(frames, own if isinstance(own, FlowPropagator) else FlowPropagator())
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


class _ClipStatistics:
    """Counts over the frames of a clip, and its flicker (:func:`mmrefine.core.temporal.flicker`), frame by frame."""

    def __init__(self, frames: VideoFrames, flows: FlowPropagator):
        self.frames, self.flows = frames, flows
        self.counts = dict.fromkeys(('frames', 'masks', 'anew'), 0)
        self.steps: dict[str, list[float]] = {'coarse': [], 'refined': []}
        self.before: FrameResult | None = None
        flows.start_clip()

    def add(self, result: FrameResult) -> None:
        """Add the result of the next frame."""
        self.counts['frames'] += 1
        self.counts['masks'] += int(np.count_nonzero(result.masks.any(axis=(1, 2))))
        self.counts['anew'] += int(np.count_nonzero(result.restarted))
        if self.before is not None:
            flow = self.flows.flow(self.frames, result.index, self.before.index)
            for index in range(len(result.masks)):
                self._step('refined', self.before.masks[index], result.masks[index], flow)
                if result.given[index] and self.before.given[index]:
                    self._step('coarse', self.before.coarse_masks[index], result.coarse_masks[index], flow)
        self.before = result

    def _step(self, side: str, before: np.ndarray, mask: np.ndarray, flow: np.ndarray) -> None:
        amount = flicker_step(before, mask, flow)
        if amount is not None:
            self.steps[side].append(amount)

    def entry(self) -> dict:
        """Counts, and for coarse and refined masks the sum and the number of flicker steps."""
        return {**self.counts, 'flicker': {side: [math.fsum(steps), len(steps)] for side, steps in self.steps.items()}}


def format_video_report(report: VideoReport) -> str:
    """Format a report: a line for each clip and one with the totals.

    Example:
        >>> flicker = {'coarse': [1.0, 4], 'refined': [0.5, 4]}  # sums over steps, and their number
        >>> entry = {'clip': 'dog', 'frames': 5, 'masks': 5, 'anew': 0, 'flicker': flicker}
        >>> format_video_report(VideoReport([entry], failed=[])).splitlines()[0]
        'dog: 5 frames, 5 masks, 0 restarted, flicker 0.250 -> 0.125'
    """
    lines = [_line(printable(entry['clip']), VideoReport([entry], []).total) for entry in report.clips]
    return '\n'.join([*lines, _line(f'total: {counted(len(report.clips), "clip")}', report.total)])


def _line(name: str, total: dict) -> str:
    flickers = [total[f'flicker_{side}'] for side in ('coarse', 'refined')]
    shown = ' -> '.join('-' if value is None else f'{value:.3f}' for value in flickers)
    frames, masks = counted(total['frames'], 'frame'), counted(total['masks'], 'mask')
    return f'{name}: {frames}, {masks}, {total["anew"]} restarted, flicker {shown}'
