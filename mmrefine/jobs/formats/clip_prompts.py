"""Clicks and boxes as prompts for objects of clips, which SAM 2 tracks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.files.clip_masks import ClipMasks, ObjectClicks
from mmrefine.files.json_stream import read_json, walk_json
from mmrefine.files.video_frames import VideoFrames, open_frames
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_value
from mmrefine.jobs.formats.clips import ClipTask, register_clip_format
from mmrefine.jobs.formats.davis import MAX_LABEL, DavisClips, DavisWriter
from mmrefine.utils import listed

_EXPECTED = (
    'expected {"prompts": [{"clip": name, "frame": name, "object": 1, "points": [[x, y], …], "labels": [1, 0, …], '
    '"box": [x1, y1, x2, y2]}, …]}, with points or a box or both'
)


@register_clip_format('prompts', 'png', DavisWriter)
class ClipPrompts(DavisClips):
    """A JSON file with ``prompts``: clip, frame and object, and ``points`` with ``labels``, or a ``box``, or both.

    Clips and frames are named as the folders and files of the frames, without suffix; ``clip`` may be omitted if there
    is one clip. Points are (x, y) in pixels; labels are 1 (positive) and 0 (negative). An object may have prompts on
    several frames.
    """

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        return path.suffix.lower() == '.json' and next((item.key for item in walk_json(path)), None) == 'prompts'

    def _find_masks(self) -> dict[str, list[dict]]:
        """Records by clip."""
        content = read_json(self.path)
        records = content.get('prompts') if isinstance(content, dict) else None
        if not isinstance(records, list) or not records:
            raise ValueError(f'{self.path} contains no prompts: {_EXPECTED}.')
        only = next(iter(self._frames)) if len(self._frames) == 1 else None
        clips = defaultdict(list)
        for position, record in enumerate(records):
            if _is_prompt(record, needs_clip=only is None):
                clips[record.get('clip', only)].append(record)
            else:
                self._problems.append(f'prompts[{position}] is not a prompt: {_EXPECTED}; got {str(record)[:80]}.')
        if not clips:
            raise ValueError(f'{self.path}: {self._problems[0]}')
        return clips

    def masks_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_value(self._masks[task.source[0]])

    def open(self, task: ClipTask) -> tuple[VideoFrames, ClipMasks]:
        frames = open_frames(self._frames_path(task), self.allow_gaps)
        return frames, ClickedObjects(self._masks[task.source[0]], frames)


class ClickedObjects(ClipMasks):
    """Objects of a clip that are given by clicks and boxes.

    Args:
        records: records of the file.
        frames: frames of the clip.

    Raises:
        ValueError: none of them can be used.
    """

    are_prompts = True

    def __init__(self, records: list[dict], frames: VideoFrames):
        self.object_ids = sorted({record['object'] for record in records})
        self.categories = [None] * len(self.object_ids)
        indices = {name: index for index, name in enumerate(frames.names)}
        clicks, self.unusable = [], []
        for record in records:
            position, frame = self.object_ids.index(record['object']), indices.get(record['frame'])
            points, labels, box = (record.get(name) for name in ('points', 'labels', 'box'))
            if frame is None:
                some = listed(indices)
                problem = f'{frames.path} has no frame {record["frame"]!r}; its frames are {some}.'
            else:
                problem = _outside([*(points or []), *([box[:2], box[2:]] if box else [])], frames.size_hw)
            if problem:
                self.unusable.append([frame, position, problem])
            else:
                clicks.append(ObjectClicks(frame, position, points, labels, box))
        if not clicks:
            raise ValueError(self.unusable[0][-1])
        self.clicks = tuple(clicks)

    def load(self, index: int) -> list[np.ndarray | None]:
        return [None] * len(self.object_ids)


def _outside(points: list, size_hw: tuple[int, int]) -> str:
    """Error for points (x, y) that lie outside the frame; '' if none does."""
    height, width = size_hw
    wrong = next((point for point in points if not (0 <= point[0] <= width and 0 <= point[1] <= height)), None)
    return '' if wrong is None else f'points must lie inside the frame of {width}x{height} (WxH) as x, y, got {wrong}.'


def _is_prompt(record: Any, needs_clip: bool) -> bool:
    known = record if isinstance(record, dict) else {}
    texts = ('clip', 'frame') if needs_clip or 'clip' in known else ('frame',)
    label = known.get('object')
    points, labels, box = (known.get(name) for name in ('points', 'labels', 'box'))
    return (
        all(isinstance(known.get(name), str) for name in texts)
        and isinstance(label, int)
        and not isinstance(label, bool)
        and 1 <= label <= MAX_LABEL
        and (points is None) == (labels is None)
        and (points is not None or box is not None)
        and (points is None or (_are_numbers(points, 2) and isinstance(labels, list) and len(labels) == len(points)))
        and (labels is None or all(label in (0, 1) for label in labels))
        and (box is None or (_are_numbers([box], 4) and box[0] < box[2] and box[1] < box[3]))
    )


def _are_numbers(rows: Any, length: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) > 0
        and all(isinstance(row, list) and len(row) == length for row in rows)
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for row in rows for value in row)
    )
