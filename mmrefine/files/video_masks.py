"""Where the masks of clips come from: folders of PNG label maps, as of DAVIS, or JSON files, as of YouTube-VIS or COCO.

A source is a list of clips, whose frames and masks are opened when they are wanted. Masks are given on all frames of a
clip, or are **prompts**: no object of the clip has a mask on more than one frame. Of prompts nothing is said on other
frames, nor about other objects of their frame. Otherwise an object without a mask on a frame is not there, except that
nothing is known of a frame without a PNG file. Legend: N objects, H and W in pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.core.checks import foreground_level
from mmrefine.core.regions import VOID
from mmrefine.core.rle import decode_segmentation
from mmrefine.files.coco_file import image_name
from mmrefine.files.mask_files import read_mask_file
from mmrefine.files.video_frames import FrameFiles, VideoFrames, find_clips, match_frames, open_frames

_GREY, _WHITE = 128, 250  # least levels of one object's only level, and of its brightest where there are more


class ClipMasks(ABC):
    """Coarse masks of a clip.

    Attributes:
        object_ids: one for each of the N objects.
        categories: ids of their categories, None where unknown.
        records: the JSON records they come from; empty where there are none.
        are_prompts: no object has a mask on more than one frame.
    """

    object_ids: list[int]
    categories: list[Any]
    records: list[dict]
    are_prompts: bool

    @abstractmethod
    def load(self, index: int) -> list[np.ndarray | None]:
        """For each object its (H, W) bool mask on a frame, or None where nothing is said about it.

        Raises:
            OSError, ValueError: a mask cannot be read, or has not the size of the frames.
        """


@dataclass(frozen=True)
class Clip:
    """A clip of a job.

    Attributes:
        index: place among the clips.
        name: in reports and results.
        video_id: of a JSON file; None without one.
    """

    index: int
    name: str
    video_id: Any = None


class VideoSource(ABC):
    """Base of the sources.

    Attributes:
        path: what was given as masks.
        clips: the work.
        digest: changes when the masks do.
        allow_gaps: see :class:`~mmrefine.files.video_frames.FrameFiles`.
    """

    def __init__(self, path: Path, allow_gaps: bool):
        self.path, self.allow_gaps = path, allow_gaps
        self.clips: list[Clip] = []
        self.digest = ''

    @abstractmethod
    def open(self, clip: Clip) -> tuple[VideoFrames, ClipMasks]:
        """Frames and masks of a clip.

        Raises:
            OSError, ValueError: they cannot be read, or do not fit each other.
        """


class PngClipMasks(ClipMasks):
    """Masks of a clip in PNG files: label maps, whose labels are objects, 0 background and 255 void; or masks of one
    object as of images (see :meth:`~mmrefine.files.mask_files.MaskFile.binary`), if all files are such and white.

    Args:
        files: one for each frame that has masks, by the frame's index.
        frames: of the clip.
    """

    def __init__(self, files: dict[int, Path], frames: VideoFrames):
        self.files, self.frames = files, frames
        self.records = []
        levels = [self._levels(path) for path in files.values()]
        self._is_one_object = all(is_white for _, is_white in levels)
        seen = Counter(label for labels, _ in levels for label in labels)
        if self._is_one_object:
            seen = Counter({1: sum(1 for labels, _ in levels if labels)})
        self.object_ids = sorted(label for label, count in seen.items() if count and label != VOID)
        if not self.object_ids:
            raise ValueError(
                f'the masks of {frames.path} are empty: no label but background in {_some(files.values())}.'
            )
        self.categories = [None] * len(self.object_ids)
        self.are_prompts = len(frames) > 1 and max(seen[k] for k in self.object_ids) == 1

    @staticmethod
    def _levels(path: Path) -> tuple[list[int], bool]:
        """What a file holds besides 0, and whether it is white on black, perhaps with a soft edge, or empty."""
        file = read_mask_file(path)
        levels = np.unique(file.labels())
        found = levels[levels > 0].tolist()
        is_mask = file.palette is None and foreground_level(levels) is not None
        is_white = not found or (is_mask and (found[-1] >= _WHITE or (len(found) == 1 and found[0] >= _GREY)))
        return found, is_white

    def load(self, index: int) -> list[np.ndarray | None]:
        if index not in self.files:
            return [None] * len(self.object_ids)
        file = read_mask_file(self.files[index]).check_size(self.frames.size_hw)
        masks = [file.binary()] if self._is_one_object else [file.labels() == label for label in self.object_ids]
        return [None if self.are_prompts and not mask.any() else mask for mask in masks]


class PngVideos(VideoSource):
    """A PNG file for the first frame, a folder of PNG files named as the frames, or a folder of such folders."""

    def __init__(self, path: str | os.PathLike, frames: str | os.PathLike, allow_gaps: bool = False):
        super().__init__(Path(path), allow_gaps)
        self._frames = find_clips(frames)
        self._masks = self._find_masks()
        found = {name: self._match(name) for name in self._masks}
        if not any(found.values()):
            raise ValueError(
                f'none of the clips {_some(self._masks)} with masks under {path} is under {frames}: names must agree.'
            )
        self._clip_names = {name: clip or name for name, clip in found.items()}
        self.clips = [Clip(index, name) for index, name in enumerate(self._masks)]
        sizes = [(str(file), file.stat().st_size) for files in self._masks.values() for file in files]
        self.digest = hashlib.sha256(repr(sizes).encode()).hexdigest()

    def _find_masks(self) -> dict[str, list[Path]]:
        """PNG files by clip; those of a single clip bear the name of its frames."""
        files = sorted(self.path.rglob('*')) if self.path.is_dir() else [self.path]
        folders = defaultdict(list)
        for file in files:
            if file.suffix.lower() == '.png' and file.is_file() and not file.name.startswith('.'):
                folders[file.parent].append(file)
        if not folders:
            raise ValueError(
                f'{self.path} holds no masks: expected PNG files, or a JSON file as of YouTube-VIS or COCO.'
            )
        if len(folders) == 1 and len(self._frames) == 1:
            return {next(iter(self._frames)): next(iter(folders.values()))}
        return {folder.relative_to(self.path).as_posix(): found for folder, found in folders.items()}

    def _match(self, name: str) -> str | None:
        if name in self._frames:
            return name
        same = [clip for clip in self._frames if Path(clip).name == Path(name).name]
        return same[0] if len(same) == 1 else None

    def open(self, clip: Clip) -> tuple[VideoFrames, ClipMasks]:
        name = self._clip_names[clip.name]
        if name not in self._frames:
            raise FileNotFoundError(f'clip {clip.name} has masks under {self.path} but no frames.')
        frames = open_frames(self._frames[name], self.allow_gaps)
        return frames, PngClipMasks(self._by_frame(self._masks[clip.name], frames), frames)

    def _by_frame(self, files: list[Path], frames: VideoFrames) -> dict[int, Path]:
        """Masks belong to the frame of their name or number; a file alone that fits none to the first frame."""
        return match_frames(files, frames.names, frames.path)


class JsonClipMasks(ClipMasks):
    """Segmentations of a clip.

    Args:
        records: one for each object, for output; may be made up.
        segmentations: for each object those of its frames, None where it has no mask.
        size_hw: of the frames.
    """

    def __init__(self, records: list[dict], segmentations: list[list], size_hw: tuple[int, int]):
        self.object_ids = list(range(1, len(records) + 1))
        self.categories = [record.get('category_id') for record in records]
        self.records, self.segmentations, self.size_hw = records, segmentations, size_hw
        counts = [sum(1 for item in row if item) for row in segmentations]
        if not any(counts):
            raise ValueError('the clip has no mask: all its segmentations are empty.')
        self.are_prompts = len(segmentations[0]) > 1 and max(counts) == 1

    def load(self, index: int) -> list[np.ndarray | None]:
        return [self._decode(row[index]) for row in self.segmentations]

    def _decode(self, segmentation: Any) -> np.ndarray | None:
        if segmentation:
            return decode_segmentation(segmentation, self.size_hw)
        return None if self.are_prompts else np.zeros(self.size_hw, bool)


class JsonVideos(VideoSource):
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
        path: str | os.PathLike,
        frames: str | os.PathLike,
        allow_gaps: bool = False,
        videos: str | os.PathLike | None = None,
    ):
        super().__init__(Path(path), allow_gaps)
        self.root = Path(frames)
        if not self.root.is_dir():
            raise FileNotFoundError(f'frames {frames} are no folder; names in {path} start there.')
        self.content = _read_json(path)
        self.digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        described = self.content if videos is None else _read_json(videos)
        self._check(described, videos or path)
        records = self.content if isinstance(self.content, list) else self.content['annotations']
        self.videos = {video['id']: video for video in described['videos']}
        if any('file_names' not in video for video in described['videos']):
            records = self._from_coco(described, records)
        self.records: dict[Any, list[dict]] = defaultdict(list)
        for place, record in enumerate(records):
            if (
                not isinstance(record, dict)
                or record.get('video_id') not in self.videos
                or 'segmentations' not in record
            ):
                raise ValueError(f'{path}: annotation {place} must have "segmentations" and the "video_id" of a video.')
            self.records[record['video_id']].append(record)
        self.clips = [
            Clip(index, str(Path(self.videos[video_id]['file_names'][0]).parent), video_id)
            for index, video_id in enumerate(self.records)
        ]
        names = Counter(clip.name for clip in self.clips)
        self.clips = [
            clip
            if names[clip.name] == 1 and clip.name != '.'
            else Clip(clip.index, f'video_{clip.video_id}', clip.video_id)
            for clip in self.clips
        ]

    @staticmethod
    def _check(described: Any, path: str | os.PathLike) -> None:
        if not isinstance(described, dict) or not isinstance(described.get('videos'), list) or not described['videos']:
            raise ValueError(
                f'{path} has no list "videos"; expected a file as of YouTube-VIS, or a COCO file of videos; results go '
                'with the annotation file that describes their videos (--videos).'
            )
        if any(not isinstance(video, dict) or 'id' not in video for video in described['videos']):
            raise ValueError(f'{path}: every video must have an "id".')

    def _from_coco(self, described: dict, annotations: list[dict]) -> list[dict]:
        """One record per object, in the form of YouTube-VIS."""
        images: dict[Any, list[dict]] = defaultdict(list)
        for image in described.get('images', []):
            if not {'id', 'video_id', 'frame_id'} <= image.keys():
                raise ValueError(f'{self.path}: images of videos must have "id", "video_id" and "frame_id".')
            images[image['video_id']].append(image)
        places = {}
        for video_id, members in images.items():
            members.sort(key=lambda image: image['frame_id'])
            self.videos[video_id] = {**self.videos[video_id], 'file_names': [image_name(image) for image in members]}
            places |= {image['id']: (video_id, place) for place, image in enumerate(members)}
        objects: dict[tuple, dict] = {}
        for record in annotations:
            track = record.get('instance_id', record.get('track_id'))
            if track is None or record.get('image_id') not in places or 'segmentation' not in record:
                raise ValueError(
                    f'{self.path}: annotations of videos must have the "image_id" of an image, "segmentation" and '
                    f'"instance_id" or "track_id", got {sorted(record)}.'
                )
            video_id, place = places[record['image_id']]
            length = len(images[video_id])
            made = {'id': len(objects) + 1, 'video_id': video_id, 'category_id': record.get('category_id')}
            known = objects.setdefault((video_id, track), {**made, 'segmentations': [None] * length})
            known['segmentations'][place] = record['segmentation']
        return list(objects.values())

    def open(self, clip: Clip) -> tuple[VideoFrames, ClipMasks]:
        names = self.videos[clip.video_id]['file_names']
        frames = FrameFiles(self.root / Path(names[0]).parent, [self.root / name for name in names], self.allow_gaps)
        records = self.records[clip.video_id]
        for record in records:
            if len(record['segmentations']) != len(frames):
                raise ValueError(
                    f'clip {clip.name} has {len(frames)} frames but an object with {len(record["segmentations"])} '
                    'segmentations; expected one per frame, null where there is none.'
                )
        return frames, JsonClipMasks(records, [record['segmentations'] for record in records], frames.size_hw)


def open_videos(
    masks: str | os.PathLike,
    frames: str | os.PathLike,
    allow_gaps: bool = False,
    videos: str | os.PathLike | None = None,
) -> VideoSource:
    """The clips of a job and their masks.

    Args:
        masks: a PNG file or a folder (see :class:`PngVideos`), or a JSON file (see :class:`JsonVideos`).
        frames: a folder of frames, a video file, or a folder of such.
        allow_gaps: frame numbers may jump.
        videos: see :class:`JsonVideos`.

    Raises:
        FileNotFoundError: masks or frames do not exist.
        ValueError: they are not what they should be, or do not belong together.
    """
    if not Path(masks).exists():
        raise FileNotFoundError(f'masks {masks} do not exist: expected a PNG file, a folder of them, or a JSON file.')
    if Path(masks).suffix.lower() == '.json':
        return JsonVideos(masks, frames, allow_gaps, videos)
    if videos is not None:
        raise ValueError(f'videos go with results in a JSON file, got masks {masks}.')
    return PngVideos(masks, frames, allow_gaps)


def _read_json(path: str | os.PathLike) -> Any:
    """Video files are of one mask per object and frame as RLE, and fit into memory."""
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not valid JSON ({error}); is it cut short?') from error


def _some(values: Any) -> str:
    values = [str(value) for value in values]
    return ', '.join(values[:5]) + (', …' if len(values) > 5 else '')
