"""Rasterization of COCO's polygons. Legend: P points of a part, H and W in pixels.

pycocotools rasterizes polygons in C without validation: NaN crashes it, and distant points keep it busy for hours.
Coordinates are therefore validated first, and parts far outside the image are clipped.
"""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

_EXPECTED = 'a polygon must be a flat list [x, y, x, y, x, y, ...] of at least three points, in a list of polygons'


def rasterize(polygons: list, size_hw: tuple[int, int]) -> np.ndarray:
    """Rasterize the union of polygons to an (H, W) bool mask.

    Args:
        polygons: list of [x, y, x, y, ...], or a single one. Polygons of fewer than three points are ignored if others
            have more.
        size_hw: size of the image, to which polygons are clipped.

    Raises:
        ValueError: no polygon has three points, or one contains anything but finite numbers in pairs.
    """
    parts = [polygons] if polygons and not any(isinstance(part, list) for part in polygons) else polygons
    kept = [part for part in (_coordinates(part) for part in parts) if len(part) >= 6]
    if not kept and any(parts):
        raise ValueError(f'{_EXPECTED}, got {reprlib.repr(polygons)}.')
    clipped = [part for part in (_clip(part, size_hw) for part in kept) if len(part) >= 6]
    if not clipped:
        return np.zeros(size_hw, bool)
    rles = coco_mask.frPyObjects([part.tolist() for part in clipped], *size_hw)
    return coco_mask.decode(coco_mask.merge(rles)).astype(bool)


def _coordinates(part: Any) -> np.ndarray:
    """Validate a polygon: finite numbers, in pairs if it has three points; as float64."""
    if not isinstance(part, list) or (len(part) >= 6 and len(part) % 2):
        raise ValueError(f'{_EXPECTED}, got {reprlib.repr(part)}.')
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in part):
        raise ValueError(f'polygons must hold numbers, got {reprlib.repr(part)}.')
    try:
        values = np.array(part, np.float64)
    except OverflowError:  # integers in JSON may have any length
        values = np.full(len(part), np.inf)
    if not np.isfinite(values).all():
        raise ValueError(f'polygons must hold finite numbers, got {reprlib.repr(part)}.')
    return values


def _clip(part: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Clip a polygon ten image sizes around the image; a polygon within that is unchanged.

    Sutherland and Hodgman, Reentrant polygon clipping (1974): for one side after the other, points outside are replaced
    by the intersections of edges with the side.
    """
    reach = 10 * max(size_hw)
    points = part.reshape(-1, 2)
    for axis, side in ((0, size_hw[1]), (1, size_hw[0])):
        for bound, sign in ((-reach, -1), (side + reach, 1)):
            inside = sign * points[:, axis] <= sign * bound
            if inside.all():
                continue
            following = np.roll(points, -1, axis=0)
            crosses = inside != np.roll(inside, -1)
            ends = points[crosses, axis] / 4, following[crosses, axis] / 4  # so that their difference is finite
            share = ((bound / 4 - ends[0]) / (ends[1] - ends[0]))[:, None]
            crossings = np.zeros_like(points)
            crossings[crosses] = points[crosses] * (1 - share) + following[crosses] * share
            crossings[crosses, axis] = bound
            points = np.stack([points, crossings], axis=1)[np.stack([inside, crosses], axis=1)]
    return points.reshape(-1)
