"""Lazy reading of a clip's frames from a folder of images or a video file. Legend: H, W in pixels."""

from __future__ import annotations

import os
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from mmrefine.files.images import IMAGE_SUFFIXES, read_image
from mmrefine.files.names import check_readable, find_files, name_key, real_path
from mmrefine.utils import counted, listed

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v')
_DEFAULT_FPS = 24.0
_KEPT = 16
# Containers that declare their number of frames; for others OpenCV estimates it from the duration, within 10 %.
_EXACT_SUFFIXES, _MIN_DECODED = ('.mp4', '.mov', '.m4v', '.avi'), 0.9
_INTEGER, _DECIMAL = re.compile(r'([0-9]+)'), re.compile(r'([0-9]+)\.([0-9]+)')
_NUMBER = re.compile(r'([0-9]+(?:\.[0-9]+)?)')


class VideoFrames(Sequence):
    """Sequence of the frames of a clip, all of the same size, with a cache of recent frames.

    Attributes:
        path: folder or video file.
        names: name of each frame without suffix.
        suffix: suffix of the frame files; '.jpg' for video files.
        size_hw: (H, W) of all frames.
        unreadable: why frames cannot be used, by index.
        fps: frames per second; 24 if unknown.
    """

    fps = _DEFAULT_FPS
    suffix = '.jpg'
    size_hw: tuple[int, int]
    unreadable: Mapping[int, str] = {}

    def __init__(self, path: Path, names: list[str]):
        self.path, self.names = path, names
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Frame as (H, W, 3) uint8 RGB.

        Raises:
            IndexError: there is no such frame.
            OSError, ValueError: it cannot be read, or its size differs from the first frame's.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'{self.path} has {len(self)} frames, got index {index}.')
        index %= len(self)
        if index in self.unreadable:
            raise ValueError(self.unreadable[index])
        if index not in self._recent:
            self._keep(index, self._read(index))
        return self._recent[index]

    def select(self, indices: Sequence[int]) -> VideoFrames:
        """A clip of some of the frames."""
        return _SelectedFrames(self, indices)

    def _keep(self, index: int, frame: np.ndarray) -> None:
        self._recent[index] = frame
        if len(self._recent) > _KEPT:
            self._recent.popitem(last=False)

    def _read(self, index: int) -> np.ndarray:
        raise NotImplementedError


class _SelectedFrames(VideoFrames):
    """Clip of some frames of another clip, whose cache it shares."""

    def __init__(self, frames: VideoFrames, indices: Sequence[int]):
        super().__init__(frames.path, [frames.names[index] for index in indices])
        self.suffix, self.fps, self.size_hw = frames.suffix, frames.fps, frames.size_hw
        self._frames, self._indices = frames, indices

    def _read(self, index: int) -> np.ndarray:
        return self._frames[self._indices[index]]

    def _keep(self, index: int, frame: np.ndarray) -> None:
        self._recent = OrderedDict({index: frame})


class FrameFiles(VideoFrames):
    """Clip of image files, in the given order.

    The size of the clip is that of most frames. All frames are read when ``size_hw`` or ``unreadable`` is first used.

    Args:
        path: their folder, for messages.
        files: paths of the images.
        allow_gaps: accept gaps in the numbers of the frames, which indicate missing frames.
        problems: why frames are known to be unusable, by name without suffix.

    Raises:
        ValueError: frames are missing.
    """

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        allow_gaps: bool = False,
        problems: Mapping[str, str] | None = None,
    ):
        if not files:
            raise ValueError(f'clip {path} has no frames; expected at least one.')
        if not allow_gaps:
            check_steps(path, [file.stem for file in files])
        self._files, self.suffix, self._problems = list(files), files[0].suffix, problems or {}
        super().__init__(path, [file.stem for file in files])

    @cached_property
    def _survey(self) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
        """Sizes of readable frames, and errors of the others, by index."""
        sizes, problems = {}, {}
        for index, name in enumerate(self.names):
            try:
                if name in self._problems:
                    raise ValueError(self._problems[name])
                sizes[index] = self._read(index).shape[:2]
            except (OSError, ValueError) as error:
                problems[index] = str(error)
        return sizes, problems

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of most frames.

        Raises:
            ValueError: none can be read.
        """
        sizes, problems = self._survey
        if not sizes:
            raise ValueError(problems[0])
        return Counter(sizes.values()).most_common(1)[0][0]

    @cached_property
    def unreadable(self) -> dict[int, str]:
        """Why frames cannot be used, by index."""
        sizes, problems = self._survey
        others = {
            index: f'frame {self.names[index]} of {self.path} is {height}x{width} (HxW) but most are '
            f'{self.size_hw[0]}x{self.size_hw[1]}; all frames of a clip must have the same size.'
            for index, (height, width) in sizes.items()
            if (height, width) != self.size_hw
        }
        return problems | others

    def _read(self, index: int) -> np.ndarray:
        return read_image(self._files[index])


class VideoFile(VideoFrames):
    """Clip of a video file, whose frames are counted when it is opened, since the number in its header may be wrong.

    Reading forwards decodes every frame once; reading backwards decodes from the start again.

    Args:
        path: the video file.
        allow_gaps: accept a file that has fewer frames than it declares.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded, or not to its end.
    """

    def __init__(self, path: str | os.PathLike, allow_gaps: bool = False):
        path = check_readable(path, 'video')
        self._rewind(path)
        count = 0
        while self._capture.isOpened() and self._capture.grab():
            count += 1
        if not count:
            raise ValueError(f'video {path} cannot be decoded; convert it to MP4 (H.264), or give a folder of frames.')
        declared = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        minimum = declared if path.suffix.lower() in _EXACT_SUFFIXES else int(_MIN_DECODED * declared)
        if count < minimum and not allow_gaps:
            raise ValueError(
                f'video {path} declares {declared} frames but only {count} can be decoded; the file is truncated or '
                'damaged: create it again, or use the frames that exist (--allow-gaps).'
            )
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_FPS
        self._rewind(path)
        super().__init__(path, [f'{index:05d}' for index in range(count)])
        self.size_hw = self[0].shape[:2]

    def _rewind(self, path: Path) -> None:
        try:
            self._capture, self._next = cv2.VideoCapture(str(path)), 0
        except (cv2.error, SystemError, UnicodeError) as error:
            raise ValueError(f'video {path} cannot be opened ({error}); rename it with plain characters.') from error

    def _read(self, index: int) -> np.ndarray:
        if index < self._next:
            self._rewind(self.path)
        # Frames shortly before the requested one are kept too, so that reading backwards rewinds once for all of them.
        while self._next <= index:
            position, self._next = self._next, self._next + 1
            ok = self._capture.grab()
            if ok and position > index - _KEPT:
                ok, frame = self._capture.retrieve()
                if ok:
                    frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                    self._keep(position, frame)
            if not ok:
                raise ValueError(f'frame {position} of video {self.path} cannot be decoded; the file is damaged.')
        return frame


def open_frames(path: str | os.PathLike, allow_gaps: bool = False) -> VideoFrames:
    """Open a clip: a folder of images, in natural order (``f2`` before ``f10``), or a video file.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it contains no frame, some are missing (see :class:`FrameFiles`), or a video cannot be decoded.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'clip {path} does not exist: expected a folder of frames or a video file.')
    if not path.is_dir():
        return VideoFile(path, allow_gaps)
    found = [file for file in find_files(path, IMAGE_SUFFIXES).values() if file.parent == path]
    files = {file.stem: file for file in found}
    if not files:
        raise ValueError(f'no frame in {path}; expected images that end in {", ".join(IMAGE_SUFFIXES)}.')
    doubled = {
        file.stem: f'{file} and {files[file.stem]} are the same frame; keep one of them.'
        for file in found
        if files[file.stem] != file
    }
    return FrameFiles(path, [files[stem] for stem in natural_order(files)], allow_gaps, doubled)


def find_clips(path: str | os.PathLike) -> dict[str, Path]:
    """Clips by name: one video file or folder of frames, or all of them under a folder, recursively.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: it contains no clip.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'frames {path} do not exist: expected a video file, a folder of frames or of clips.')
    if not path.is_dir() or _has_frames(path):
        return {real_path(path).name if path.is_dir() else path.stem: path}
    folders = {file.parent for file in find_files(path, IMAGE_SUFFIXES).values()}
    found = [*sorted(folders), *find_files(path, VIDEO_SUFFIXES).values()]
    if not found:
        raise ValueError(
            f'no clip under {path}: expected folders of images, or video files ({", ".join(VIDEO_SUFFIXES)}).'
        )
    return {
        clip.relative_to(path).with_suffix('' if clip.is_file() else clip.suffix).as_posix(): clip for clip in found
    }


def _has_frames(folder: Path) -> bool:
    return any(file.parent == folder for file in find_files(folder, IMAGE_SUFFIXES).values())


def natural_order(stems: Iterable[str]) -> list[str]:
    """Sort names without suffix naturally: numbers by value, other parts as text.

    Digits on both sides of a point form a decimal number, as in time stamps, unless the names show that the part after
    the point is a counter, such as ``9`` and ``10``.
    """
    stems = list(stems)
    fractions = [fraction for stem in stems for _, fraction in _DECIMAL.findall(stem)]
    shortest = min(map(len, fractions), default=0)
    are_counted = any(len(fraction) > shortest and fraction.endswith('0') for fraction in fractions)
    pattern = _INTEGER if are_counted else _NUMBER

    def key(stem: str) -> tuple:
        parts = pattern.split(name_key(stem))
        return [Fraction(part) if position % 2 else part for position, part in enumerate(parts)], stem

    return sorted(stems, key=key)


def frame_number(stem: str) -> int | None:
    """The last number in a name: 7 of ``frame_0007``."""
    digits = _INTEGER.findall(stem)
    return int(digits[-1]) if digits else None


def match_frames(
    files: Sequence[Path], names: Sequence[str], clip: str | os.PathLike
) -> tuple[dict[int, Path], list[list]]:
    """Match files, such as masks, with frames: by the same name, else all numbers in it, else the last number in it.

    Numbers are used only if they are unique among the frames. A single file that matches no frame belongs to the first.

    Args:
        files: the files.
        names: names of the frames, without suffix.
        clip: folder or file of the clip, for messages.

    Returns:
        files by index of their frame; and files that match no frame, or of which several match the same frame, as
        ``unusable`` of :class:`~mmrefine.files.clip_masks.ClipMasks`.

    Raises:
        ValueError: no file can be used.
    """
    keys = (name_key, lambda stem: tuple(map(int, _INTEGER.findall(stem))) or None, frame_number)
    tables = [_unique({key(name): index for index, name in enumerate(names)}, len(names)) for key in keys]
    candidates: dict[int | None, list[Path]] = defaultdict(list)
    for file in files:
        positions = [table.get(key(file.stem)) for key, table in zip(keys, tables, strict=True)]
        candidates[next((position for position in positions if position is not None), None)].append(file)
    lost = candidates.pop(None, [])
    if not candidates and len(lost) == 1:
        return {0: lost[0]}, []
    if not candidates:
        some = listed(file.name for file in lost)
        raise ValueError(f'{counted(len(lost), "mask")} without a frame of {clip}: {some}; names must match.')
    unusable = [[None, None, f'{file.name} belongs to no frame; names must match.'] for file in lost]
    for index, (first, *more) in sorted(candidates.items()):
        if more:
            both = f'{first} and {more[0]} both belong to frame {names[index]} of {clip}; '
            unusable.append([index, None, both + 'put the objects of a frame into one label map.'])
    found = {index: found[0] for index, found in sorted(candidates.items()) if len(found) == 1}
    if not found:
        raise ValueError(unusable[-1][-1])
    return found, unusable


def _unique(table: dict, count: int) -> dict:
    """The table if the keys of all frames are unique, else an empty one."""
    return table if len(table) == count and None not in table else {}


def check_steps(path: Path, stems: Sequence[str]) -> None:
    """Check that no frames are missing: the last numbers in the names must increase in equal steps.

    Raises:
        ValueError: frames are missing.
    """
    numbers = [frame_number(stem) for stem in stems]
    if None in numbers or len(numbers) < 3 or any(_DECIMAL.search(stem) for stem in stems):
        return
    steps = [after - before for before, after in pairwise(numbers)]
    step = min(steps)
    gaps = [position for position, size in enumerate(steps) if size != step]
    if step > 0 and gaps and all(size % step == 0 for size in steps):
        first = gaps[0]
        raise ValueError(
            f'{path} lacks at least {counted(len(gaps), "frame")}: {stems[first]} is followed by {stems[first + 1]}, '
            f'elsewhere names increase by {step}; add the missing frames, or allow gaps (--allow-gaps).'
        )
