"""Label maps in PNG files, one folder per clip and one file per frame, as in DAVIS."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from mmrefine.core.palette import voc_palette
from mmrefine.core.regions import resolve_overlaps
from mmrefine.files.clip_masks import ClipMasks, PngClipMasks
from mmrefine.files.names import find_files
from mmrefine.files.video_frames import VideoFrames, find_clips, match_frames, open_frames
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files
from mmrefine.jobs.formats.clips import (
    ClipFormat,
    ClipTask,
    ClipWriter,
    RefinedClip,
    clip_names,
    register_clip_format,
    unplaced_task,
)
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.utils import listed

MAX_LABEL = 254


class DavisWriter(ClipWriter):
    """Label maps with DAVIS's palette under ``masks/<clip>/``.

    Where masks overlap, the one with the highest score wins, then the smallest.
    """

    def outputs(self, task: ClipTask) -> list[str]:
        names = [f'masks/{task.name}/{name}.png' for name in self.source.frame_names(task)]
        return list(dict.fromkeys(names))

    def write(self, task: ClipTask, clip: RefinedClip, out: OutputFolder) -> None:
        ids = clip.object_ids
        if ids and not 1 <= min(ids) <= max(ids) <= MAX_LABEL:
            raise ValueError(f'PNG label maps need object ids 1 to {MAX_LABEL}, got {max(ids)}; write JSON instead.')
        if len(set(clip.frame_names)) < len(clip.frame_names):
            raise ValueError(f'two frames of clip {task.name} have the same name; write JSON instead of PNG files.')
        labels = np.array([0, *ids], np.uint8)
        for frame, name in enumerate(clip.frame_names):
            masks, scores = clip.masks(frame), np.array(clip.scores[frame])
            owner = resolve_overlaps(masks, scores) if len(masks) else np.full(masks.shape[1:], -1)
            image = Image.fromarray(labels[owner + 1])
            image.putpalette(voc_palette())
            with out.open(f'masks/{task.name}/{name}.png', 'wb') as file:
                image.save(file, format='PNG')


@register_clip_format('davis', 'png', DavisWriter)
class DavisClips(ClipFormat):
    """A PNG file for the first frame, a folder of PNG files named as the frames, or a folder of such folders."""

    def __init__(
        self,
        path: Path,
        frames: str | os.PathLike,
        allow_gaps: bool = False,
        videos: str | os.PathLike | None = None,
    ):
        super().__init__(path, allow_gaps)
        if videos is not None:
            raise ValueError(f'videos needs results in a JSON file, got masks {path}.')
        self._frames = find_clips(frames)
        self._problems: list[str] = []  # of records that belong to no clip
        self._masks = self._find_masks()
        found = {name: self._match(name) for name in self._masks}
        if not any(found.values()):
            raise ValueError(
                f'none of the clips {listed(self._masks)} with masks under {path} is under {frames}: names must match.'
            )
        clips = enumerate(zip(found.items(), clip_names(list(found)), strict=True))
        self.tasks = [ClipTask(index, pair[0], name, pair) for index, (pair, name) in clips]
        self.tasks += unplaced_task(len(self.tasks), path, self._problems)
        self._names: dict[int, list[str]] = {}

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        return path.suffix.lower() != '.json'

    def _find_masks(self) -> dict[str, list[Path]]:
        """PNG files by clip; the masks of a single clip match its frames, whatever the names."""
        folders = defaultdict(list)
        for file in find_files(self.path, ('.png',)).values():
            folders[file.parent].append(file)
        if not folders:
            raise ValueError(
                f'{self.path} contains no masks: expected PNG files, or a JSON file of YouTube-VIS or COCO.'
            )
        if len(folders) == 1 and len(self._frames) == 1:
            return {next(iter(self._frames)): next(iter(folders.values()))}
        return {folder.relative_to(self.path).as_posix(): found for folder, found in folders.items()}

    def _match(self, name: str) -> str | None:
        if name in self._frames:
            return name
        same = [clip for clip in self._frames if Path(clip).name == Path(name).name]
        return same[0] if len(same) == 1 else None

    def _frames_path(self, task: ClipTask) -> Path:
        name, clip = task.source
        if clip is None:
            raise FileNotFoundError(f'clip {name} has masks under {self.path} but no frames.')
        return self._frames[clip]

    def frame_names(self, task: ClipTask) -> list[str]:
        if task.index not in self._names:  # of a video, the frames are counted
            self._names[task.index] = list(open_frames(self._frames_path(task), True).names)
        return self._names[task.index]

    def frame_paths(self, task: ClipTask) -> list[Path]:
        try:
            frames = self._frames_path(task)
        except FileNotFoundError:
            return []
        return sorted(path for path in frames.iterdir() if path.is_file()) if frames.is_dir() else [frames]

    def frames_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_files(self.frame_paths(task))

    def masks_fingerprint(self, task: ClipTask) -> Fingerprint:
        return fingerprint_files(self._masks[task.source[0]])

    def open(self, task: ClipTask) -> tuple[VideoFrames, ClipMasks]:
        frames = open_frames(self._frames_path(task), self.allow_gaps)
        files, unusable = match_frames(self._masks[task.source[0]], frames.names, frames.path)
        return frames, PngClipMasks(files, frames, unusable)
