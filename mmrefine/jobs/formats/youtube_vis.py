"""Annotations and results in the format of YouTube-VIS, and COCO files whose images belong to videos."""

from __future__ import annotations

import json
import os
import reprlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mmrefine.core.checks import check_same_size
from mmrefine.core.rle import decode_segmentation, is_absent
from mmrefine.files.clip_masks import ClipMasks
from mmrefine.files.coco_file import is_crowd, is_id, record_problem
from mmrefine.files.digests import digest_of
from mmrefine.files.json_stream import read_json
from mmrefine.files.names import name_problem
from mmrefine.files.video_frames import FrameFiles, VideoFrames
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files, fingerprint_value
from mmrefine.jobs.formats.clips import (
    ClipFormat,
    ClipTask,
    ClipWriter,
    RefinedClip,
    clip_names,
    register_clip_format,
    safe_name,
    unplaced_task,
)
from mmrefine.jobs.formats.coco_videos import join_objects, with_frames
from mmrefine.jobs.outputs import OutputFolder


class YoutubeVisWriter(ClipWriter):
    """A JSON file in the format of YouTube-VIS: the input file with refined masks, or a new ``masks.json``.

    Records keep their order, ids and further fields; ``areas`` and ``bboxes`` are updated where a record has them.
    Crowds and records of failed clips are not changed. Masks are compressed RLE.
    """

    def final_outputs(self) -> list[str]:
        return [self.source.path.name if isinstance(self.source, YoutubeVisClips) else 'masks.json']

    def finish(self, done: Iterable[tuple[ClipTask, RefinedClip]], out: OutputFolder) -> None:
        clips = dict((task.index, clip) for task, clip in done)
        make = _changed_content if isinstance(self.source, YoutubeVisClips) else _new_content
        with out.open(self.final_outputs()[0]) as file:
            json.dump(make(self.source, clips), file)


def _changed_content(source: YoutubeVisClips, clips: dict[int, RefinedClip]) -> Any:
    """The input content with refined masks."""
    records = list(source.records)
    for task in source.tasks:
        if task.index in clips:
            for row, position in enumerate(source.objects(task)):
                records[position] = _changed_record(records[position], clips[task.index], row)
    if not isinstance(source.content, dict):
        return records
    if not source.is_coco:
        return {**source.content, 'annotations': records}
    kept = {key: value for key, value in source.content.items() if key != 'images'}
    return {**kept, 'videos': [video.record for video in source.videos.values()], 'annotations': records}


def _changed_record(record: dict, clip: RefinedClip, row: int) -> dict:
    rles = [frame[row] for frame in clip.rles]
    unusable = {frame for frame, position, _ in clip.unusable if position in (None, row)}
    if None in unusable:
        return record
    changed = dict(record)
    for key, values in _columns(rles).items():
        if key not in record:
            continue
        old = record[key] if isinstance(record[key], list) and len(record[key]) == len(rles) else [None] * len(rles)
        changed[key] = [old[frame] if frame in unusable else value for frame, value in enumerate(values)]
    return changed


def _columns(rles: list[dict | None]) -> dict[str, list]:
    return {
        'segmentations': rles,
        'areas': [None if rle is None else int(coco_mask.area(rle)) for rle in rles],
        'bboxes': [None if rle is None else coco_mask.toBbox(rle).tolist() for rle in rles],
    }


def _new_content(source: ClipFormat, clips: dict[int, RefinedClip]) -> dict:
    """Content of a new file, for masks of another format."""
    videos, records = [], []
    for task in source.tasks:
        if task.index not in clips:
            continue
        clip = clips[task.index]
        height, width = clip.size_hw
        names = [f'{task.name}/{name}{clip.frame_suffix}' for name in clip.frame_names]
        size = {'height': height, 'width': width}
        videos.append({'id': task.index + 1, 'name': task.name, 'file_names': names, 'length': len(names), **size})
        for row, object_id in enumerate(clip.object_ids):
            known = {'category_id': clip.categories[row], 'object_id': object_id, 'iscrowd': 0, **size}
            columns = _columns([frame[row] for frame in clip.rles])
            records.append({'id': len(records) + 1, 'video_id': task.index + 1, **known, **columns})
    return {'videos': videos, 'categories': [], 'annotations': records}


@register_clip_format('youtube-vis', 'json', YoutubeVisWriter)
class YoutubeVisClips(ClipFormat):
    """Annotations or results of YouTube-VIS, or a COCO file whose images belong to videos.

    YouTube-VIS: ``videos`` with ``file_names``, annotations or a list of results with ``video_id`` and
    ``segmentations``, one per frame. COCO: ``images`` with ``video_id`` and ``frame_id``, annotations with ``image_id``
    and ``instance_id`` (or ``track_id``).

    An object or a clip that cannot be used fails alone. Records that belong to no clip are one task, which fails.

    Args:
        path: the JSON file.
        frames: folder to which file names are relative.
        allow_gaps: accept gaps in the numbers of frames.
        videos: for results, the annotation file that describes their videos.

    Attributes:
        content: content of the file.
        is_coco: whether it is a COCO file.
        videos: videos by id.
        records: one record for each object, in the order of the file; not validated.
    """

    def __init__(
        self,
        path: Path,
        frames: str | os.PathLike,
        allow_gaps: bool = False,
        videos: str | os.PathLike | None = None,
    ):
        super().__init__(path, allow_gaps)
        self.root = Path(frames)
        if not self.root.is_dir():
            raise FileNotFoundError(f'frames {frames} is not a folder; names in {path} start there.')
        self.content = read_json(path)
        described = self.content if videos is None else read_json(videos)
        records = self.content.get('annotations') if isinstance(self.content, dict) else self.content
        if not isinstance(records, list):
            raise ValueError(f'{path} has no list "annotations", and is not a list of results.')
        known, twice = _videos(described, videos or path)
        images = described.get('images')
        self.is_coco = isinstance(images, list) and not any('file_names' in video for video in known.values())
        problems: list[str] = []
        if self.is_coco:
            known, positions = with_frames(known, images)
            records, problems = join_objects(records, known, positions)
        self.videos = {video_id: _Video(video, video_id in twice) for video_id, video in known.items()}
        categories = described.get('categories')
        categories = categories if isinstance(categories, list) else []
        self._categories = [item['id'] for item in categories if isinstance(item, dict) and is_id(item.get('id'))]
        self.records, self._positions = records, defaultdict(list)
        for position, record in enumerate(records):
            video_id = record.get('video_id') if isinstance(record, dict) else None
            if is_id(video_id) and video_id in self.videos:
                self._positions[video_id].append(position)
            else:
                problems.append(
                    f'annotation {position} must have the "video_id" of a video, got {reprlib.repr(record)}.'
                )
        if problems and not self._positions:
            raise ValueError(f'{path}: no record belongs to a clip: {problems[0]}')
        self.tasks = [
            ClipTask(index, json.dumps(video_id), name, video_id, self.videos[video_id].problem)
            for index, (video_id, name) in enumerate(zip(self._positions, self._clip_names(), strict=True))
        ]
        self.tasks += unplaced_task(len(self.tasks), path, problems)

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        return path.suffix.lower() == '.json'

    def _clip_names(self) -> list[str]:
        """Names of clips: the folder of the first frame, or the video's id if that is not unique."""
        folders = {
            video_id: safe_name(self.videos[video_id].folder, f'video_{video_id}') for video_id in self._positions
        }
        counts = Counter(name.lower() for name in folders.values())
        names = [name if counts[name.lower()] == 1 else f'video_{video_id}' for video_id, name in folders.items()]
        return clip_names(names)

    def objects(self, task: ClipTask) -> list[int]:
        """Indices of the records of a clip that are refined."""
        return [position for position in self._positions.get(task.source, []) if not is_crowd(self.records[position])]

    def frame_names(self, task: ClipTask) -> list[str]:
        return [path.stem for path in self.frame_paths(task)]

    def frame_paths(self, task: ClipTask) -> list[Path]:
        return [self.root / name for name in self.videos[task.source].names]

    def frames_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_files(self.frame_paths(task))

    def masks_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_value([self.records[position] for position in self._positions[task.source]])

    def final_digest(self) -> str:
        return digest_of(self.content)

    def open(self, task: ClipTask) -> tuple[VideoFrames, ClipMasks]:
        paths = self.frame_paths(task)
        frames = FrameFiles(paths[0].parent, paths, self.allow_gaps)
        records = [self.records[position] for position in self.objects(task)]
        declared_hw = _declared_hw(self.videos[task.source].record)
        return frames, JsonClipMasks(records, frames, declared_hw, self._categories)


class JsonClipMasks(ClipMasks):
    """Segmentations of a clip.

    Args:
        records: one record for each object.
        frames: frames of the clip.
        declared_hw: size of the video in the file, for which polygons were made; None if unknown.
        categories: known category ids that are not integers.

    Raises:
        ValueError: no object has a mask.
    """

    def __init__(
        self,
        records: list[dict],
        frames: VideoFrames,
        declared_hw: tuple[int, int] | None = None,
        categories: Container = (),
    ):
        self.object_ids = list(range(1, len(records) + 1))
        self.categories = [record.get('category_id') for record in records]
        self.frames, self._declared_hw = frames, declared_hw
        length = len(frames)
        reasons = [_object_problem(record, length, categories) for record in records]
        self.unusable = [[None, row, reason] for row, reason in enumerate(reasons) if reason]
        self._rows = [
            [None] * length if reason else record['segmentations']
            for record, reason in zip(records, reasons, strict=True)
        ]
        counts = [sum(1 for item in row if not is_absent(item)) for row in self._rows]
        if not any(counts):
            raise ValueError(next(filter(None, reasons), 'the clip has no mask: all its segmentations are empty.'))
        self.are_prompts = length > 1 and max(counts) == 1

    def load(self, index: int) -> list[np.ndarray | None]:
        return [self._decode(segmentations[index], index, row) for row, segmentations in enumerate(self._rows)]

    def _decode(self, segmentation: Any, frame: int, row: int) -> np.ndarray | None:
        size_hw = self.frames.size_hw
        if is_absent(segmentation):
            return None if self.are_prompts else np.zeros(size_hw, bool)
        try:
            if isinstance(segmentation, list) and self._declared_hw is not None:
                check_same_size('the polygons belong to a video that is', self._declared_hw, size_hw)
            return decode_segmentation(segmentation, size_hw)
        except ValueError as error:
            if not any(known[:2] == [frame, row] for known in self.unusable):
                self.unusable.append([frame, row, str(error)])
            return None


def _object_problem(record: dict, length: int, categories: Container) -> str:
    """Why an object cannot be used at all; '' if no problem is known."""
    segmentations = record.get('segmentations')
    if not isinstance(segmentations, list) or len(segmentations) != length:
        came = f'{len(segmentations)} of them' if isinstance(segmentations, list) else reprlib.repr(segmentations)
        return f'its "segmentations" must be a list of {length}, null where it is not visible, got {came}.'
    return record_problem(record, categories)


class _Video:
    """A video of a file.

    Args:
        record: record of the video.
        is_twice: whether other videos have the same id.

    Attributes:
        names: file names of the frames; empty if there is a problem.
        folder: folder of the first frame.
        problem: why the frames are not known; '' if they are.
    """

    def __init__(self, record: dict, is_twice: bool):
        self.record = record
        names = record.get('file_names')
        if is_twice:
            self.problem = f'several videos have the id {reprlib.repr(record["id"])}; ids must be unique.'
        elif not isinstance(names, list) or not names:
            self.problem = f'a video must have a list of names as "file_names", got {reprlib.repr(names)}.'
        else:
            self.problem = next((f'{problem}, in "file_names".' for problem in map(name_problem, names) if problem), '')
        self.names = [] if self.problem else [name.replace('\\', '/') for name in names]
        self.folder = os.path.dirname(self.names[0]) if self.names else ''


def _declared_hw(video: dict) -> tuple[int, int] | None:
    sides = video.get('height'), video.get('width')
    return sides if all(isinstance(side, int) and side > 0 for side in sides) else None


def _videos(described: Any, path: str | os.PathLike) -> tuple[dict[Any, dict], set]:
    """The videos of a file by id, and ids that several videos have; videos without an id are ignored."""
    found = described.get('videos') if isinstance(described, dict) else None
    found = found if isinstance(found, list) else []
    usable = [video for video in found if isinstance(video, dict) and is_id(video.get('id'))]
    videos = {video['id']: video for video in usable}
    twice = {video['id'] for video in usable if video != videos[video['id']]}
    if not videos:
        raise ValueError(
            f'{path} has no list "videos" with ids; expected the format of YouTube-VIS, or a COCO file of videos; '
            'results need the annotation file that describes their videos (--videos).'
        )
    return videos, twice
