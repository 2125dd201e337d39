"""Annotations and results of YouTube-VIS, and COCO files whose images belong to videos."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mmrefine.core.checks import check_same_size
from mmrefine.core.rle import decode_segmentation, is_absent
from mmrefine.files.clip_masks import ClipMasks
from mmrefine.files.coco_file import image_name
from mmrefine.files.json_stream import read_json
from mmrefine.files.video_frames import FrameFiles, VideoFrames
from mmrefine.jobs.fingerprints import Fingerprint, digest_of, fingerprint_files, fingerprint_value
from mmrefine.jobs.formats.clips import ClipFormat, ClipTask, ClipWriter, RefinedClip, register_clip_format, safe_name
from mmrefine.jobs.outputs import OutputFolder


class YoutubeVisWriter(ClipWriter):
    """A JSON file in the format of YouTube-VIS: the input file with refined masks, or a new ``masks.json``.

    Records keep their order, ids and further fields; ``areas`` and ``bboxes`` follow the masks where a record has them.
    Crowds and records of clips that failed stay as they came. Masks are compressed RLE.
    """

    def final_outputs(self) -> list[str]:
        return [self.source.path.name if isinstance(self.source, YoutubeVisClips) else 'masks.json']

    def finish(self, done: Iterable[tuple[ClipTask, RefinedClip]], out: OutputFolder) -> None:
        clips = dict((task.index, clip) for task, clip in done)
        make = _changed_content if isinstance(self.source, YoutubeVisClips) else _new_content
        with out.open(self.final_outputs()[0]) as file:
            json.dump(make(self.source, clips), file)


def _changed_content(source: YoutubeVisClips, clips: dict[int, RefinedClip]) -> Any:
    """Content of the input file, with refined masks."""
    records = []
    for task in source.tasks:
        rows = iter(range(len(source.objects(task))))
        for record in source.records[task.source]:
            if task.index in clips and not _is_crowd(record):
                record = _changed_record(record, clips[task.index], next(rows))
            records.append(record)
    if not isinstance(source.content, dict):
        return records
    kept = {key: value for key, value in source.content.items() if key != 'images'}
    return {**kept, 'videos': list(source.videos.values()), 'annotations': records}


def _changed_record(record: dict, clip: RefinedClip, row: int) -> dict:
    rles = [frame[row] for frame in clip.rles]
    unusable = {frame for frame, position, _ in clip.unusable if position == row}
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
    """Content of a new file for masks of another format."""
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

    Args:
        path: the file.
        frames: folder where file names start.
        videos: for results: an annotation file, whose videos are meant.
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
        self.videos = _videos(described, videos or path)
        records = self.content if isinstance(self.content, list) else self.content.get('annotations')
        if not isinstance(records, list):
            raise ValueError(f'{path} has no list "annotations", and is not a list of results.')
        if any('file_names' not in video for video in self.videos.values()):
            records = self._from_coco(described, records)
        self.records: dict[Any, list[dict]] = defaultdict(list)
        for position, record in enumerate(records):
            self.records[self._video_of(record, position)].append(record)
        names = {video_id: self._clip_name(video_id) for video_id in self.records}
        counts = Counter(name.lower() for name in names.values())
        self.tasks = [
            ClipTask(
                index,
                json.dumps(video_id),
                name if counts[name.lower()] == 1 else safe_name(f'video_{video_id}', f'clip_{index}'),
                video_id,
            )
            for index, (video_id, name) in enumerate(names.items())
        ]

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() == '.json'

    def _video_of(self, record: Any, position: int) -> Any:
        """The video of an annotation, which is checked to have one, and segmentations."""
        expected = 'must have a list "segmentations" and the "video_id" of a video'
        if not isinstance(record, dict) or not isinstance(record.get('segmentations'), list):
            raise ValueError(f'{self.path}: annotation {position} {expected}, got {_short(record)}.')
        video_id = record.get('video_id')
        if not isinstance(video_id, (int, float, str)) or video_id not in self.videos:
            raise ValueError(f'{self.path}: annotation {position} {expected}, got the video_id {_short(video_id)}.')
        return video_id

    def _clip_name(self, video_id: Any) -> str:
        """The folder of the first frame, or the number of the video where that says nothing."""
        names = self.videos[video_id].get('file_names')
        folder = os.path.dirname(str(names[0]).replace('\\', '/')) if names else ''
        return safe_name(folder, safe_name(f'video_{video_id}', 'video'))

    def _from_coco(self, described: dict, annotations: list[dict]) -> list[dict]:
        """One record per object, in the form of YouTube-VIS."""
        images: dict[Any, list[dict]] = defaultdict(list)
        for position, image in enumerate(described.get('images', [])):
            if not isinstance(image, dict) or not {'id', 'video_id', 'frame_id'} <= image.keys():
                raise ValueError(f'{self.path}: images of videos must have "id", "video_id" and "frame_id".')
            if image['video_id'] not in self.videos or not isinstance(image['frame_id'], (int, float)):
                raise ValueError(
                    f'{self.path}: images[{position}] must have the "video_id" of a video and a number as "frame_id", '
                    f'got {_short(image["video_id"])} and {_short(image["frame_id"])}.'
                )
            images[image['video_id']].append(image)
        positions = {}
        for video_id, members in images.items():
            members.sort(key=lambda image: image['frame_id'])
            try:
                names = [str(image_name(image)) for image in members]
            except (KeyError, AttributeError, TypeError) as error:
                raise ValueError(f'{self.path}: images of video {video_id} must have a text as "file_name".') from error
            self.videos[video_id] = {**self.videos[video_id], 'file_names': names}
            positions |= {image['id']: (video_id, position) for position, image in enumerate(members)}
        objects: dict[tuple, dict] = {}
        for record in annotations:
            known = record if isinstance(record, dict) else {}
            track = known.get('instance_id', known.get('track_id'))
            image_id = known.get('image_id')
            if (
                not isinstance(track, (int, float, str))
                or not isinstance(image_id, (int, float, str))
                or image_id not in positions
            ):
                raise ValueError(
                    f'{self.path}: annotations of videos must have the "image_id" of an image, "segmentation" and '
                    f'"instance_id" or "track_id", got {_short(record)}.'
                )
            video_id, position = positions[image_id]
            length = len(images[video_id])
            made = {'id': len(objects) + 1, 'video_id': video_id, 'category_id': record.get('category_id')}
            known = objects.setdefault((video_id, track), {**made, 'segmentations': [None] * length})
            known['segmentations'][position] = record.get('segmentation')
        return list(objects.values())

    def objects(self, task: ClipTask) -> list[dict]:
        """The records of a clip that are refined."""
        return [record for record in self.records[task.source] if not _is_crowd(record)]

    def frame_names(self, task: ClipTask) -> list[str]:
        return [path.stem for path in self.frame_paths(task)]

    def frame_paths(self, task: ClipTask) -> list[Path]:
        return [self.root / str(name).replace('\\', '/') for name in self.videos[task.source].get('file_names', [])]

    def frames_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_files(self.frame_paths(task))

    def masks_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_value(self.records[task.source])

    def final_digest(self) -> str:
        return digest_of(self.content)

    def open(self, task: ClipTask) -> tuple[VideoFrames, ClipMasks]:
        paths, records = self.frame_paths(task), self.objects(task)
        if not paths:
            raise ValueError(f'clip {task.name} has no frames: its list "file_names" is empty.')
        frames = FrameFiles(paths[0].parent, paths, self.allow_gaps)
        for record in records:
            if len(record['segmentations']) != len(frames):
                raise ValueError(
                    f'clip {task.name} has {len(frames)} frames but an object with {len(record["segmentations"])} '
                    'segmentations; expected one per frame, null where there is none.'
                )
        video = self.videos[task.source]
        return frames, JsonClipMasks(records, frames.size_hw, _declared_hw(video))


class JsonClipMasks(ClipMasks):
    """Segmentations of a clip.

    Args:
        records: one for each object.
        size_hw: of the frames.
        declared_hw: what the file says it is, which polygons must be drawn on; None if it does not.

    Attributes:
        unusable: ``[frame, object, reason]`` of the masks that were wanted and could not be used; nothing is said
            about them.
    """

    def __init__(self, records: list[dict], size_hw: tuple[int, int], declared_hw: tuple[int, int] | None = None):
        self.object_ids = list(range(1, len(records) + 1))
        self.categories = [record.get('category_id') for record in records]
        self.records, self.size_hw, self._declared_hw = records, size_hw, declared_hw
        self.unusable: list[list] = []
        counts = [sum(1 for item in record['segmentations'] if not is_absent(item)) for record in records]
        if not any(counts):
            raise ValueError('the clip has no mask: all its segmentations are empty.')
        self.are_prompts = len(records[0]['segmentations']) > 1 and max(counts) == 1

    def load(self, index: int) -> list[np.ndarray | None]:
        return [self._decode(record['segmentations'][index], index, row) for row, record in enumerate(self.records)]

    def _decode(self, segmentation: Any, frame: int, row: int) -> np.ndarray | None:
        if is_absent(segmentation):
            return None if self.are_prompts else np.zeros(self.size_hw, bool)
        try:
            if isinstance(segmentation, list) and self._declared_hw is not None:
                check_same_size('the polygons belong to a video that is', self._declared_hw, self.size_hw)
            return decode_segmentation(segmentation, self.size_hw)
        except ValueError as error:
            if not any(known[:2] == [frame, row] for known in self.unusable):
                self.unusable.append([frame, row, str(error)])
            return None


def _declared_hw(video: dict) -> tuple[int, int] | None:
    sides = video.get('height'), video.get('width')
    return sides if all(isinstance(side, int) and side > 0 for side in sides) else None


def _is_crowd(record: dict) -> bool:
    return record.get('iscrowd') in (1, True)


def _videos(described: Any, path: str | os.PathLike) -> dict[Any, dict]:
    """The videos of a file by id, which are checked to have one and lists of names."""
    if not isinstance(described, dict) or not isinstance(described.get('videos'), list) or not described['videos']:
        raise ValueError(
            f'{path} has no list "videos"; expected a file as of YouTube-VIS, or a COCO file of videos; results need '
            'the annotation file of their videos (--videos).'
        )
    videos: dict[Any, dict] = {}
    for position, video in enumerate(described['videos']):
        if not isinstance(video, dict) or not isinstance(video.get('id'), (int, float, str)):
            raise ValueError(f'{path}: videos[{position}] must have a number or a text as "id", got {_short(video)}.')
        if video['id'] in videos:
            raise ValueError(
                f'{path}: videos[{position}] has the id {video["id"]} of another video; ids must be unique.'
            )
        names = video.get('file_names', [])
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(
                f'{path}: videos[{position}] must have a list of names as "file_names", got {_short(names)}.'
            )
        videos[video['id']] = video
    return videos


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + '...'
