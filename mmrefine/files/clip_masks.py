"""Coarse masks of a clip, read frame by frame. Legend: N objects, H and W in pixels.

Masks are either given on all frames, or they are **prompts**: no object has a mask on more than one frame, and frames
and objects without a mask are unknown. If masks are not prompts, an object without a mask on a frame is absent there,
except on frames without a PNG file, which are unknown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.core.checks import foreground_level
from mmrefine.core.regions import VOID
from mmrefine.files.mask_files import MaskFile, read_mask_file
from mmrefine.files.video_frames import VideoFrames
from mmrefine.utils import listed

# Minimum of the only level of an object's mask, and of the highest level if there are several.
_GREY, _WHITE = 128, 250


@dataclass(frozen=True)
class ObjectClicks:
    """Clicks and a box as the prompt of an object, instead of a mask.

    Attributes:
        frame: index of the frame.
        obj_idx: index of the object.
        points: (P, 2), (x, y) in pixels, or None.
        labels: (P,), 1 positive, 0 negative, or None.
        box: (4,), xyxy in pixels, or None.
    """

    frame: int
    obj_idx: int
    points: list | None = None
    labels: list | None = None
    box: list | None = None


class ClipMasks(ABC):
    """Coarse masks of a clip.

    Attributes:
        object_ids: ids of the N objects.
        categories: category ids of the N objects, None where unknown.
        are_prompts: no object has a mask on more than one frame.
        clicks: prompts that are not masks; only SAM 2 uses them.
        unusable: ``[frame, object, reason]`` for each mask that cannot be used, with indices of frame and object, or
            None for all; such masks are treated as unknown.
    """

    clicks: tuple[ObjectClicks, ...] = ()
    object_ids: list[int]
    categories: list[Any]
    are_prompts: bool
    unusable: list[list]

    @abstractmethod
    def load(self, index: int) -> list[np.ndarray | None]:
        """Masks (H, W) bool of all objects on a frame, None for unknown ones.

        Raises:
            OSError, ValueError: a mask cannot be read, or does not have the size of the frames.
        """

    def select(self, indices: Sequence[int]) -> ClipMasks:
        """The masks of a clip of some of the frames."""
        return _SelectedMasks(self, indices)


class _SelectedMasks(ClipMasks):
    """Masks of some frames of a clip."""

    def __init__(self, masks: ClipMasks, indices: Sequence[int]):
        self.object_ids, self.categories, self.are_prompts = masks.object_ids, masks.categories, masks.are_prompts
        self.unusable = masks.unusable
        positions = {index: position for position, index in enumerate(indices)}
        self.clicks = tuple(
            replace(click, frame=positions[click.frame]) for click in masks.clicks if click.frame in positions
        )
        self._masks, self._indices = masks, indices

    def load(self, index: int) -> list[np.ndarray | None]:
        return self._masks.load(self._indices[index])


class PngClipMasks(ClipMasks):
    """Masks of a clip in PNG files.

    Files are label maps whose labels are objects, with 0 for background and 255 for void; or, if all of them are white
    on black, masks of one object (:meth:`~mmrefine.files.mask_files.MaskFile.binary`).

    Args:
        files: files by the index of their frame.
        frames: the frames of the clip.
        unusable: other files, see :class:`ClipMasks`.

    Raises:
        OSError, ValueError: none of the files can be used, or none contains an object.
    """

    def __init__(self, files: dict[int, Path], frames: VideoFrames, unusable: Sequence[list] = ()):
        self.frames = frames
        self.unusable = list(unusable)
        levels = {}
        for index, path in files.items():
            try:
                levels[index] = self._levels(self._read(path, index))
            except (OSError, ValueError) as error:
                if len(files) == 1:
                    raise
                self.unusable.append([index, None, str(error)])
        if not levels:
            raise ValueError(self.unusable[-1][-1])
        self.files = {index: files[index] for index in levels}
        self._is_one_object = all(is_white for _, is_white in levels.values())
        seen = Counter(label for labels, _ in levels.values() for label in labels)
        if self._is_one_object:
            seen = Counter({1: sum(1 for labels, _ in levels.values() if labels)})
        self.object_ids = sorted(label for label, count in seen.items() if count and label != VOID)
        if not self.object_ids:
            raise ValueError(
                f'the masks of {frames.path} are empty: there is only background in {listed(files.values())}.'
            )
        self.categories = [None] * len(self.object_ids)
        self.are_prompts = len(frames) > 1 and max(seen[k] for k in self.object_ids) == 1

    def _read(self, path: Path, index: int) -> MaskFile:
        file = read_mask_file(path)
        return file if index in self.frames.unreadable else file.check_size(self.frames.size_hw)

    @staticmethod
    def _levels(file: MaskFile) -> tuple[list[int], bool]:
        """Levels of a file except 0, and whether it is white on black, possibly with soft edges, or empty."""
        levels = np.unique(file.labels())
        found = levels[levels > 0].tolist()
        is_mask = file.palette is None and foreground_level(levels) is not None
        is_white = not found or (is_mask and (found[-1] >= _WHITE or (len(found) == 1 and found[0] >= _GREY)))
        return found, is_white

    def load(self, index: int) -> list[np.ndarray | None]:
        if index not in self.files:
            return [None] * len(self.object_ids)
        file = self._read(self.files[index], index)
        masks = [file.binary()] if self._is_one_object else [file.labels() == label for label in self.object_ids]
        return [None if self.are_prompts and not mask.any() else mask for mask in masks]
