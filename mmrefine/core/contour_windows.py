"""Windows at native resolution along the contour of a large mask. Legend: H, W the image, P windows, in pixels."""

from __future__ import annotations

import numpy as np

from mmrefine.core.crops import mask_boxes


def contour_windows(mask: np.ndarray, size: int, overlap: float = 0.25) -> np.ndarray:
    """Windows of a grid over the mask that hold both foreground and background.

    Args:
        mask: (H, W) bool.
        size: side of a window; an image with a shorter side has no windows.
        overlap: minimum overlap of neighbouring windows as a fraction of their side, in [0, 1).

    Returns:
        (P, 4) int64 xyxy, ends exclusive, all within the image, in row-major order.
    """
    box = mask_boxes(mask[None])[0]
    if not box.any() or min(mask.shape) < size:
        return np.zeros((0, 4), np.int64)
    columns, rows = (
        _starts(low, high, length, size, overlap)
        for low, high, length in zip(box[:2], box[2:], mask.shape[::-1], strict=True)
    )
    windows = np.array([[x, y, x + size, y + size] for y in rows for x in columns], np.int64)
    shares = np.array([mask[y1:y2, x1:x2].mean() for x1, y1, x2, y2 in windows])
    return windows[(shares > 0) & (shares < 1)]


def blending_weights(size: int) -> np.ndarray:
    """Blending weights of a window, (size, size) float32: 1 at the centre, falling linearly to the border."""
    ramp = 1 - np.abs((np.arange(size) + 0.5) * 2 / size - 1)
    return np.minimum.outer(ramp, ramp).astype(np.float32)


def _starts(low: int, high: int, length: int, size: int, overlap: float) -> np.ndarray:
    """Starts of evenly spaced windows, as few as possible, that cover [low, high) and a quarter of a window around."""
    margin = size // 4
    low, high = max(low - margin, 0), min(high + margin, length)
    if high - low <= size:
        return np.array([np.clip((low + high - size) // 2, 0, length - size)])
    count = int(np.ceil((high - low - size) / (size * (1 - overlap)))) + 1
    return np.rint(np.linspace(low, high - size, count)).astype(np.int64)
