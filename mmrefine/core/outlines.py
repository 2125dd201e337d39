"""Conversion of masks to polygons: outlines along pixel edges with holes and parts, optionally simplified.

Coordinates are those of COCO: pixel (0, 0) covers x and y from 0 to 1. An outline that moves by less than half a pixel
crosses no pixel centre, so a polygon simplified by less than that rasterizes to the same mask.

Legend: H, W in pixels, P points of a ring, (x, y).
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from scipy import ndimage

DEFAULT_TOLERANCE_PX = 0.25  # together with the cut corners less than half a pixel: no pixel changes
_STEPS_XY = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])


def check_tolerance(tolerance_px: float) -> float:
    """Return the maximum distance of polygons from pixel edges if it is valid.

    Raises:
        ValueError: it is negative, infinite or NaN.
    """
    if not 0 <= tolerance_px < math.inf:
        raise ValueError(f'the tolerance of polygons must be at least 0 and finite (pixels), got {tolerance_px}.')
    return tolerance_px


def trace(mask: np.ndarray, tolerance_px: float = 0.0) -> list[list[np.ndarray]]:
    """Trace the outlines of a mask.

    Args:
        mask: (H, W) bool.
        tolerance_px: maximum distance of the simplified outline from the outline along pixel edges, after the corners
            of one-pixel steps have been cut by up to 0.35 px; 0 keeps every corner.

    Returns:
        for each 4-connected part its outer ring, followed by the rings of its holes, (P, 2) float64 each, not closed
        (the first point is not repeated). Outer rings are clockwise on the screen, holes counterclockwise.
    """
    check_tolerance(tolerance_px)
    labels, _ = ndimage.label(mask)
    outer: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = defaultdict(list)
    for label, ring in _rings(np.asarray(mask, bool), labels):
        simple = _simplify(ring, tolerance_px)
        if _signed_area(ring) > 0:
            outer[label] = simple
        else:
            holes[label].append(simple)
    return [[ring, *holes[label]] for label, ring in sorted(outer.items())]


def to_polygons(mask: np.ndarray, tolerance_px: float = DEFAULT_TOLERANCE_PX) -> list[list[float]]:
    """COCO's polygons of a mask, [x, y, x, y, ...] for each part; zero-width cuts connect holes to the outer ring."""
    return [_flat(_join(rings)) for rings in trace(mask, tolerance_px)]


def to_ring(mask: np.ndarray, tolerance_px: float = DEFAULT_TOLERANCE_PX) -> np.ndarray:
    """One (P, 2) ring, for formats with a single polygon: zero-width cuts connect parts and holes.

    It covers the mask under the even-odd rule and in pycocotools. An empty mask gives no points.
    """
    rings = [ring for rings in trace(mask, tolerance_px) for ring in rings]
    return _join(rings) if rings else np.zeros((0, 2))


def _rings(mask: np.ndarray, labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Closed walks along pixel edges with the mask on the right: the corners, with the label of the part.

    Where two pixels touch only at a corner the walk turns right and so stays at its pixel.
    """
    height, width = mask.shape
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    borders = (  # for the directions right, down, left, up: the pixel on the other side, and the start of the edge
        (padded[:-2, 1:-1], (0, 0)),
        (padded[1:-1, 2:], (0, 1)),
        (padded[2:, 1:-1], (1, 1)),
        (padded[1:-1, :-2], (1, 0)),
    )
    has = np.zeros((4, height + 1, width + 1), bool)
    part = np.zeros((4, height + 1, width + 1), np.int32)
    for direction, (beyond, (down, right)) in enumerate(borders):
        is_edge = inside & ~beyond
        has[direction, down : down + height, right : right + width] = is_edge
        part[direction, down : down + height, right : right + width] = np.where(is_edge, labels, 0)
    directions, ys, xs = np.nonzero(has)
    if not len(directions):
        return []
    ends_y, ends_x = ys + _STEPS_XY[directions, 1], xs + _STEPS_XY[directions, 0]
    turns = np.stack([(directions + 1) % 4, directions, (directions + 3) % 4])
    choice = np.argmax(has[turns, ends_y, ends_x], axis=0)
    following = turns[choice, np.arange(len(directions))]
    numbers = np.full(has.shape, -1, np.int64)
    numbers[directions, ys, xs] = np.arange(len(directions))
    successors = numbers[following, ends_y, ends_x].tolist()
    is_corner = following != directions
    seen = bytearray(len(successors))
    rings = []
    for start in range(len(successors)):
        if seen[start]:
            continue
        walk, edge = [], start
        while not seen[edge]:
            seen[edge] = 1
            walk.append(edge)
            edge = successors[edge]
        walk = np.array(walk)
        corners = walk[is_corner[walk]]
        points = np.stack([ends_x[corners], ends_y[corners]], axis=1).astype(np.float64)
        rings.append((int(part[directions[start], ys[start], xs[start]]), points))
    return rings


def _simplify(ring: np.ndarray, tolerance_px: float) -> np.ndarray:
    """Simplify by Douglas and Peucker (1973), starting from two distant points; a ring that would vanish is kept.

    OpenCV's approxPolyDP removes further points at its end, after which the tolerance may be exceeded.
    """
    if tolerance_px == 0:
        return ring
    original, ring = ring, _without_stairs(ring)
    closed = np.concatenate([ring, ring[:1]])
    middle = int(np.argmax(np.square(ring - ring[0]).sum(axis=1)))
    kept, open_spans = {0, middle}, [(0, middle), (middle, len(ring))]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        worst = int(np.argmax(distances))
        if distances[worst] > tolerance_px:
            split = first + 1 + worst
            kept.add(split)
            open_spans += [(first, split), (split, last)]
    simple = ring[sorted(kept)]
    return simple if len(simple) >= 3 and _signed_area(simple) * _signed_area(ring) > 0 else original


def _without_stairs(ring: np.ndarray) -> np.ndarray:
    """Replace the corners of one-pixel steps by the midpoints of their edges; other corners stay.

    A slanted edge is a staircase whose midpoints lie near the edge. Cutting corners moves the outline by 0.35 pixels
    and across no pixel centre.
    """
    before, after = np.roll(ring, 1, axis=0) - ring, np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(before).sum(axis=1), np.abs(after).sum(axis=1)
    is_step = np.minimum(*lengths) < 2
    cut = np.stack([ring + before / lengths[0][:, None] / 2, ring + after / lengths[1][:, None] / 2], axis=1)
    cut[~is_step] = ring[~is_step, None]
    points = cut.reshape(-1, 2)
    return points[np.any(points != np.roll(points, 1, axis=0), axis=1)]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distances of points from a line segment."""
    line = end - start
    length2 = float(line @ line)
    along = np.clip((points - start) @ line / length2, 0, 1) if length2 else np.zeros(len(points))
    return np.sqrt(np.square(points - start - along[:, None] * line).sum(axis=1))


def _signed_area(ring: np.ndarray) -> float:
    following = np.roll(ring, -1, axis=0)
    return float(np.sum(ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1])) / 2


def _join(rings: list[np.ndarray]) -> np.ndarray:
    """Join rings into one: a cut leads from each to the next between their nearest points, and back."""
    joined = rings[0]
    for ring in rings[1:]:
        distances = np.square(joined[:, None] - ring[None]).sum(axis=2)
        here, there = np.unravel_index(np.argmin(distances), distances.shape)
        detour = np.concatenate([np.roll(ring, -there, axis=0), ring[there : there + 1]])
        joined = np.concatenate([joined[: here + 1], detour, joined[here:]])
    return joined


def _flat(ring: np.ndarray) -> list[float]:
    return ring.ravel().tolist()
