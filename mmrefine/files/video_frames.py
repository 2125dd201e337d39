"""Frames of a clip, from a folder of images or a video file, read when they are wanted. Legend: H, W in pixels."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmrefine.files.images import IMAGE_SUFFIXES, read_image

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v')
_DEFAULT_FPS = 24.0
_KEPT = 16


class VideoFrames(Sequence):
    """Base of the clips: frames by index, of one size, the last few kept.

    Attributes:
        path: where they are.
        names: name of each frame without suffix.
        suffix: of the frames' files; of a video's frames, which have none, that of JPEG files.
        size_hw: (H, W) of all of them.
        fps: frames per second; 24 where nothing says.
    """

    fps = _DEFAULT_FPS
    suffix = '.jpg'

    def __init__(self, path: Path, names: list[str]):
        self.path, self.names = path, names
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        self.size_hw: tuple[int, int] = ()
        self.size_hw = self[0].shape[:2]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Frame as (H, W, 3) uint8 RGB.

        Raises:
            IndexError: there is no such frame.
            OSError, ValueError: it cannot be read, or has another size than the first.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'{self.path} has {len(self)} frames, got index {index}.')
        index %= len(self)
        if index not in self._recent:
            frame = self._read(index)
            if self.size_hw and frame.shape[:2] != self.size_hw:
                raise ValueError(
                    f'frame {self.names[index]} of {self.path} is {frame.shape[0]}x{frame.shape[1]} (HxW) but the '
                    f'first {self.size_hw[0]}x{self.size_hw[1]}; all frames of a clip must have one size.'
                )
            self._keep(index, frame)
        return self._recent[index]

    def _keep(self, index: int, frame: np.ndarray) -> None:
        self._recent[index] = frame
        if len(self._recent) > _KEPT:
            self._recent.popitem(last=False)

    def _read(self, index: int) -> np.ndarray:
        raise NotImplementedError


class FrameFiles(VideoFrames):
    """Images of a clip in the order in which they are given.

    Args:
        path: their folder, for reports.
        files: at least one.
        allow_gaps: False refuses names whose last numbers do not rise by one step throughout, as a lost frame would
            show as a jump.

    Raises:
        OSError, ValueError: frames are missing, or the first cannot be read.
    """

    def __init__(self, path: Path, files: Sequence[Path], allow_gaps: bool = False):
        if not allow_gaps:
            _check_steps(path, [file.stem for file in files])
        self._files, self.suffix = list(files), files[0].suffix
        super().__init__(path, [file.stem for file in files])

    def _read(self, index: int) -> np.ndarray:
        return read_image(self._files[index])


class VideoFile(VideoFrames):
    """A video file. Frames are counted when it is opened, since what a file says about their number is a guess.

    Reading forwards decodes every frame once; a step back decodes from the start to that place.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be decoded.
    """

    def __init__(self, path: str | os.PathLike):
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'video {path} does not exist.')
        self._capture, self._next = cv2.VideoCapture(str(path)), 0
        count = 0
        while self._capture.isOpened() and self._capture.grab():
            count += 1
        if not count:
            raise ValueError(f'video {path} cannot be decoded; convert it to MP4 (H.264), or give a folder of frames.')
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_FPS
        self._rewind(path)
        super().__init__(path, [f'{index:05d}' for index in range(count)])

    def _rewind(self, path: Path) -> None:
        self._capture.release()
        self._capture, self._next = cv2.VideoCapture(str(path)), 0

    def _read(self, index: int) -> np.ndarray:
        if index < self._next:
            self._rewind(self.path)
        # Frames shortly before the wanted one are kept, so that reading backwards rewinds once for all of them.
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
    """The frames of a clip: a folder of images, in the order of the last numbers in their names, or a video file.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it holds no frame, some are missing (see :class:`FrameFiles`), or it cannot be decoded.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'clip {path} does not exist: expected a folder of frames or a video file.')
    if not path.is_dir():
        return VideoFile(path)
    files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(file)]
    if not files:
        raise ValueError(f'no frame in {path}; expected images that end in {", ".join(IMAGE_SUFFIXES)}.')
    return FrameFiles(path, sorted(files, key=lambda file: (frame_number(file.stem) or 0, file.stem)), allow_gaps)


def find_clips(path: str | os.PathLike) -> dict[str, Path]:
    """Clips by name: a video file or a folder of frames alone, or all those in a folder, also some levels down.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it holds no clip.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'frames {path} do not exist: expected a video file, a folder of frames or of clips.')
    if path.is_file() or _holds_frames(path):
        return {path.stem if path.is_file() else path.resolve().name: path}
    found = [folder for folder in sorted(path.rglob('*')) if folder.is_dir() and _holds_frames(folder)]
    found += [file for file in sorted(path.rglob('*')) if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()]
    if not found:
        raise ValueError(
            f'no clip under {path}: expected folders of images, or video files ({", ".join(VIDEO_SUFFIXES)}).'
        )
    return {
        clip.relative_to(path).with_suffix('' if clip.is_file() else clip.suffix).as_posix(): clip for clip in found
    }


def _holds_frames(folder: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(file) for file in folder.iterdir())


def _is_hidden(file: Path) -> bool:
    return file.name.startswith('.')


def frame_number(stem: str) -> int | None:
    """The last number in a name: 7 of ``frame_0007``."""
    digits = re.findall(r'\d+', stem)
    return int(digits[-1]) if digits else None


def _check_steps(path: Path, stems: list[str]) -> None:
    numbers = [frame_number(stem) for stem in stems]
    if None in numbers or len(numbers) < 3:
        return
    steps = np.diff(numbers)
    gaps = np.flatnonzero(steps != steps.min())
    if steps.min() > 0 and len(gaps):
        first = gaps[0]
        raise ValueError(
            f'{path} lacks {len(gaps)} or more frames: after {stems[first]} comes {stems[first + 1]}, elsewhere names '
            f'rise by {steps.min()}; add what is missing, or allow gaps (--allow-gaps).'
        )
