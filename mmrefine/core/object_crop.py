"""A random crop around one object, for training on instances (LR-SegRefiner, NeurIPS 2023, training data)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def random_object_crop(
    box_xyxy: Sequence[int] | np.ndarray, size_hw: tuple[int, int], margin_px: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a random crop that contains the whole object and is ``margin_px`` wider and higher than it.

    The centre is uniformly distributed, x first, over those that keep the object in the crop and the crop in the image;
    along an axis on which the crop is at least as long as the image there is only one. The result equals that of the
    released code, except that there the rounding of an odd length may cut off the object's last column or row; here
    the crop is then one pixel longer.

    Args:
        box_xyxy: integer box of the object, ends exclusive, within the image and not empty.
        size_hw: height and width of the image.
        margin_px: pixels added along each axis, both sides together; 40 in the paper.
        rng: random number generator; ``rng.integers`` is called once per axis.

    Returns:
        (4,) int64 xyxy, ends exclusive, within the image.

    Raises:
        ValueError: the box is empty, not integer or not within the image, or the margin is negative.
    """
    box = np.asarray(box_xyxy)
    if box.shape != (4,) or (box != np.floor(box)).any():
        raise ValueError(f'box_xyxy must be four integers x1, y1, x2, y2, got {box.tolist()}.')
    x1, y1, x2, y2 = (int(value) for value in box)
    height, width = size_hw
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(
            f'box_xyxy must contain at least one pixel and lie within the image of {height}x{width} (HxW), '
            f'got {[x1, y1, x2, y2]}; skip objects without pixels.'
        )
    if margin_px < 0:
        raise ValueError(f'margin_px must be at least 0, got {margin_px}.')
    left, right = _random_span(x1, x2, width, margin_px, rng)
    top, bottom = _random_span(y1, y2, height, margin_px, rng)
    return np.array([left, top, right, bottom], np.int64)


def _random_span(start: int, end: int, length: int, margin_px: int, rng: np.random.Generator) -> tuple[int, int]:
    """Crop along one axis, for an object from ``start`` to ``end`` in an image of this length."""
    span = min(end - start + margin_px, length)
    # Centres are integers and half of an odd span is rounded down: the last line ensures that the object is inside.
    lowest = max((2 * end - span) // 2, span // 2)
    highest = min((2 * start + span) // 2, (2 * length - span) // 2)
    centre = int(rng.integers(lowest, highest + 1))
    crop_start, crop_end = (2 * centre - span) // 2, (2 * centre + span) // 2
    return max(0, min(crop_start, start)), min(length, max(crop_end, end))
