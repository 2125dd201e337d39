"""Report of a job on clips: counts, flicker before and after, a line for each clip."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmrefine.core.temporal import flicker_step
from mmrefine.files.names import printable
from mmrefine.files.video_frames import VideoFrames
from mmrefine.models.video import FlowPropagator, FrameResult
from mmrefine.utils import counted


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


class ClipStatistics:
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
