"""Overlay videos of masks. Legend: N objects, H and W in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mmrefine.core.checks import check_image, check_masks
from mmrefine.core.palette import voc_palette
from mmrefine.files.atomic import OutputError, whole_path
from mmrefine.visualization.side_by_side import _outline, _tint


def draw_overlay(frame: np.ndarray, masks: np.ndarray, object_ids: Sequence[int]) -> np.ndarray:
    """Draw masks over a frame, tinted and outlined in the palette colours of their ids.

    Args:
        frame: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool.
        object_ids: ids of the N objects.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError, ValueError: frame or masks are invalid, see :mod:`mmrefine.core.checks`.

    Example:
        >>> import numpy as np
        >>> masks = np.zeros((1, 6, 8), bool)
        >>> masks[0, 1:5, 2:7] = True
        >>> drawn = draw_overlay(np.zeros((6, 8, 3), np.uint8), masks, [1])
        >>> drawn.shape, drawn[0, 0].tolist(), bool(drawn[3, 4].any())
        ((6, 8, 3), [0, 0, 0], True)
    """
    drawn = check_image(frame).copy()
    colours = np.frombuffer(voc_palette(), np.uint8).reshape(-1, 3)
    for mask, object_id in zip(check_masks(masks, frame.shape[:2]), object_ids, strict=True):
        colour = tuple(int(channel) for channel in colours[object_id % len(colours)])
        _tint(drawn, mask, colour)
        _outline(drawn, mask, colour)
    return drawn


class OverlayVideo:
    """Atomic writer of an MP4 file, used as a context manager.

    Args:
        path: path of the video; missing folders are created.
        size_hw: (H, W) of the frames; odd sides are cut by a pixel, since the codec needs even ones.
        fps: frames per second.

    Raises:
        OutputError: the video cannot be written.
    """

    def __init__(self, path: Path, size_hw: tuple[int, int], fps: float):
        self.path = path
        self._unfinished = path.with_name(f'.{path.stem}.unfinished{path.suffix}')  # the suffix selects the format
        self._whole = whole_path(path, unfinished=self._unfinished)
        self._size_hw = tuple(max(2, side - side % 2) for side in size_hw)
        self._fps = fps

    def __enter__(self) -> OverlayVideo:
        self._whole.__enter__()
        codec = cv2.VideoWriter_fourcc(*'mp4v')
        self._writer = cv2.VideoWriter(str(self._unfinished), codec, self._fps, self._size_hw[::-1])
        if not self._writer.isOpened():
            raise OutputError(
                f'video {self.path} cannot be written; check that the folder is writable and OpenCV supports MP4.'
            )
        return self

    def add(self, drawn: np.ndarray) -> None:
        """Append an (H, W, 3) uint8 RGB frame."""
        height, width = self._size_hw
        self._writer.write(cv2.cvtColor(np.ascontiguousarray(drawn[:height, :width]), cv2.COLOR_RGB2BGR))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.release()
        self._whole.__exit__(kind, error, traceback)
