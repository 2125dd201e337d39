"""Clicks and boxes on objects of clips, which SAM 2 tracks."""

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

_EXPECTED = (
    'expected {"prompts": [{"clip": name, "frame": name, "object": 1, "points": [[x, y], …], "labels": [1, 0, …], '
    '"box": [x1, y1, x2, y2]}, …]}, with points or a box or both'
)


@register_clip_format('prompts', 'png', DavisWriter)
class ClipPrompts(DavisClips):
    """A JSON file with ``prompts``: clip, frame and object, and ``points`` with ``labels``, or a ``box``, or both.

    Names of clips and frames are those of the frames, without suffix; ``clip`` may be missing where there is one clip.
    Pixels are counted as x, y; labels are 1 on the object and 0 off it. An object may have prompts on several frames.
    """

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() == '.json' and next((item.key for item in walk_json(path)), None) == 'prompts'

    def _find_masks(self) -> dict[str, list[dict]]:
        """Records by clip."""
        content = read_json(self.path)
        records = content.get('prompts') if isinstance(content, dict) else None
        if not isinstance(records, list) or not records:
            raise ValueError(f'{self.path} holds no prompts: {_EXPECTED}.')
        only = next(iter(self._frames)) if len(self._frames) == 1 else None
        clips = defaultdict(list)
        for index, record in enumerate(records):
            _check_record(record, f'{self.path}: prompts[{index}]', needs_clip=only is None)
            clips[record.get('clip', only)].append(record)
        return clips

    def masks_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_value(self._masks[task.source[0]])

    def open(self, task: ClipTask) -> tuple[VideoFrames, ClipMasks]:
        frames = open_frames(self._frames_path(task), self.allow_gaps)
        return frames, ClickedObjects(self._masks[task.source[0]], frames)


class ClickedObjects(ClipMasks):
    """Objects of a clip that are given by clicks and boxes alone.

    Args:
        records: of the file.
        frames: of the clip.

    Raises:
        ValueError: a frame that the clip does not have.
    """

    are_prompts = True

    def __init__(self, records: list[dict], frames: VideoFrames):
        self.object_ids = sorted({record['object'] for record in records})
        self.categories = [None] * len(self.object_ids)
        indices = {name: index for index, name in enumerate(frames.names)}
        unknown = [record['frame'] for record in records if record['frame'] not in indices]
        if unknown:
            raise ValueError(f'{frames.path} has no frame {unknown[0]!r}; its frames are {_some(list(indices))}.')
        self.clicks = tuple(
            ObjectClicks(
                indices[record['frame']],
                self.object_ids.index(record['object']),
                record.get('points'),
                record.get('labels'),
                record.get('box'),
            )
            for record in records
        )

    def load(self, index: int) -> list[np.ndarray | None]:
        return [None] * len(self.object_ids)


def _check_record(record: Any, where: str, needs_clip: bool) -> None:
    known = record if isinstance(record, dict) else {}
    texts = ('clip', 'frame') if needs_clip or 'clip' in known else ('frame',)
    label = known.get('object')
    points, labels, box = (known.get(name) for name in ('points', 'labels', 'box'))
    is_right = (
        all(isinstance(known.get(name), str) for name in texts)
        and isinstance(label, int)
        and 1 <= label <= MAX_LABEL
        and (points is None) == (labels is None)
        and (points is not None or box is not None)
        and (points is None or (_are_numbers(points, 2) and isinstance(labels, list) and len(labels) == len(points)))
        and (box is None or _are_numbers([box], 4))
    )
    if not is_right:
        raise ValueError(f'{where} is not a prompt: {_EXPECTED}; got {str(record)[:80]}.')


def _are_numbers(rows: Any, length: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) > 0
        and all(isinstance(row, list) and len(row) == length for row in rows)
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for row in rows for value in row)
    )


def _some(names: list[str]) -> str:
    return ', '.join(names[:3]) + (', …' if len(names) > 3 else '')
