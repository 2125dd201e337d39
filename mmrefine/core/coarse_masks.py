"""Simulation of coarse masks: errors of quick annotations, low-resolution networks and activation maps.

Every simulator is ``(mask (H, W) bool, rng, image (H, W, 3) uint8 or None) -> (H, W) bool`` and draws its own strength,
relative to the object's size sqrt(area). :func:`simulate_coarse_mask` combines them to reach a random IoU with the
ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from mmrefine.core.boundary_perturbation import perturb_boundary
from mmrefine.core.iou import binary_iou

Simulator = Callable[[np.ndarray, np.random.Generator, 'np.ndarray | None'], np.ndarray]


def _size_px(mask: np.ndarray) -> float:
    return float(np.sqrt(max(np.count_nonzero(mask), 1)))


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the contour in pixels, positive inside."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    return inside - outside


def _smooth_noise(shape: tuple[int, int], rng: np.random.Generator, scale_px: float) -> np.ndarray:
    """Noise of zero mean and unit variance with a correlation length of about ``scale_px``."""
    height, width = (max(2, int(np.ceil(side / scale_px)) + 2) for side in shape)
    noise = cv2.resize(
        rng.standard_normal((height, width)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    return noise / max(float(noise.std()), 1e-6)


def _boundary_point(mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    """(x, y) of a random pixel of the mask that touches its complement."""
    edge = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    ys, xs = np.nonzero(edge)
    if not len(xs):
        return None
    pick = rng.integers(len(xs))
    return int(xs[pick]), int(ys[pick])


def _blob(shape: tuple[int, int], centre_xy: tuple[int, int], radius_px: float, rng: np.random.Generator) -> np.ndarray:
    """A random ellipse with a wavy outline."""
    canvas = np.zeros(shape, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = radius_px * np.clip(1 + 0.25 * gaussian_filter(rng.standard_normal(24), 1.5, mode='wrap') * 2, 0.4, 1.8)
    squeeze, turn = rng.uniform(0.4, 1.0), rng.uniform(0, np.pi)
    points = np.stack([radii * np.cos(angles), squeeze * radii * np.sin(angles)], axis=1)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    cv2.fillPoly(canvas, [np.rint(points @ rotation.T + centre_xy).astype(np.int32)], 1)
    return canvas.astype(bool)


def resample(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Downsample and upsample, like the output of a low-resolution network."""
    cells = rng.uniform(4, 16)
    factor = max(_size_px(mask) / cells, 1.0)
    low_size = tuple(max(2, int(round(side / factor))) for side in mask.shape[::-1])
    low = cv2.resize(mask.astype(np.float32), low_size, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        low = (low >= 0.5).astype(np.float32)
    return cv2.resize(low, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) >= rng.uniform(0.35, 0.6)


def simplify_polygon(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Replace contours by polygons with few corners, like a quick annotation."""
    tolerance = rng.uniform(0.02, 0.14) * _size_px(mask)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(mask.shape, np.uint8)
    jitter = rng.uniform(0, 0.04) * _size_px(mask)
    for contour in contours:
        corners = cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2).astype(np.float64)
        if len(corners) >= 3:
            corners += rng.normal(0, jitter, corners.shape)
            cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return canvas.astype(bool)


def wobble(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Displace the contour by a smooth random distance with a random bias."""
    size = _size_px(mask)
    noise = _smooth_noise(mask.shape, rng, max(size * rng.uniform(0.08, 0.5), 2.0))
    return _signed_distance(mask) + size * (rng.uniform(0.01, 0.1) * noise + rng.normal(0, 0.04)) > 0


def warp(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Warp the mask by a smooth random displacement field."""
    size = _size_px(mask)
    amplitude, scale = size * rng.uniform(0.02, 0.12), max(size * rng.uniform(0.2, 0.7), 3.0)
    ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    dx, dy = (amplitude * _smooth_noise(mask.shape, rng, scale) for _ in range(2))
    return cv2.remap(mask.astype(np.uint8), xs + dx, ys + dy, cv2.INTER_NEAREST).astype(bool)


def shift(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Move, rotate and scale the mask, like a mask of the neighbouring video frame."""
    size = _size_px(mask)
    ys, xs = np.nonzero(mask)
    centre = (float(xs.mean()), float(ys.mean()))
    matrix = cv2.getRotationMatrix2D(centre, rng.normal(0, 4), rng.uniform(0.88, 1.12))
    matrix[:, 2] += rng.normal(0, 0.06, 2) * size
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST).astype(bool)


def missing_parts(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Remove parts at the contour."""
    result = mask.copy()
    for _ in range(rng.integers(1, 4)):
        point = _boundary_point(mask, rng)
        if point:
            result &= ~_blob(mask.shape, point, rng.uniform(0.1, 0.4) * _size_px(mask), rng)
    return result


def extra_parts(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Add parts of the background at the contour."""
    result = mask.copy()
    for _ in range(rng.integers(1, 4)):
        point = _boundary_point(mask, rng)
        if point:
            result |= _blob(mask.shape, point, rng.uniform(0.1, 0.35) * _size_px(mask), rng)
    return result


def holes(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Cut holes into the object."""
    result = mask.copy()
    ys, xs = np.nonzero(mask)
    for _ in range(rng.integers(1, 5)):
        pick = rng.integers(len(xs))
        result &= ~_blob(mask.shape, (int(xs[pick]), int(ys[pick])), rng.uniform(0.04, 0.15) * _size_px(mask), rng)
    return result


def leak(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Add or remove a region of similar colour at the contour, as models confuse object and surroundings."""
    point = _boundary_point(mask, rng)
    if image is None or point is None:
        return mask
    joins = rng.random() < 0.5
    reach = rng.uniform(0.15, 0.5) * _size_px(mask)
    window = _blob(mask.shape, point, reach, rng) & (~mask if joins else mask)
    ys, xs = np.nonzero(window)
    if not len(xs):
        return mask
    pick = rng.integers(len(xs))
    barrier = np.ones((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    barrier[1:-1, 1:-1] = ~window
    tolerance = (int(rng.integers(6, 30)),) * 3
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (2 << 8)
    cv2.floodFill(cv2.blur(image, (3, 3)), barrier, (int(xs[pick]), int(ys[pick])), 0, tolerance, tolerance, flags)
    region = barrier[1:-1, 1:-1] == 2
    region = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool)
    return mask | region if joins else mask & ~region


def snap_to_segments(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Replace the mask by a union of superpixels (watershed from a grid), as in superpixel-based annotation."""
    if image is None:
        return mask
    spacing = int(max(3, rng.uniform(0.08, 0.3) * _size_px(mask)))
    markers = np.zeros(mask.shape, np.int32)
    ys, xs = np.mgrid[spacing // 2 : mask.shape[0] : spacing, spacing // 2 : mask.shape[1] : spacing]
    ys, xs = (
        np.clip(axis.ravel() + rng.integers(-spacing // 4, spacing // 4 + 1, axis.size), 0, side - 1)
        for axis, side in ((ys, mask.shape[0]), (xs, mask.shape[1]))
    )
    markers[ys, xs] = np.arange(1, len(xs) + 1)
    segments = np.maximum(cv2.watershed(np.ascontiguousarray(image), markers), 0).ravel()
    total = np.bincount(segments)
    share = np.bincount(segments, weights=mask.ravel()) / np.maximum(total, 1)
    share[0] = 0
    snapped = (share >= 0.5)[segments].reshape(mask.shape)
    # Watershed leaves one-pixel lines between segments.
    return cv2.morphologyEx(snapped.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool)


def activation_blob(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Imitate a thresholded class activation map: smooth, off centre, on the most discriminative part."""
    size = _size_px(mask)
    heat = gaussian_filter(mask.astype(np.float32), size * rng.uniform(0.08, 0.25), truncate=2.5)
    heat *= 1 + 0.25 * _smooth_noise(mask.shape, rng, max(size * 0.4, 3.0))
    return heat >= rng.uniform(0.3, 0.55) * heat.max()


def hull(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Replace the mask by its convex hull, like a lasso around the object."""
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(points), 1)
    return canvas.astype(bool)


def expand(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Dilate the mask, like generous annotations."""
    radius = int(np.ceil(rng.uniform(0.01, 0.08) * _size_px(mask)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def contour_points(mask: np.ndarray, rng: np.random.Generator, image: np.ndarray | None = None) -> np.ndarray:
    """Apply CascadePSP's boundary perturbation with a random target IoU."""
    return perturb_boundary(mask, rng, iou_target=rng.uniform(0.7, 0.95))


SIMULATORS: dict[str, Simulator] = {
    simulator.__name__: simulator
    for simulator in (
        resample, simplify_polygon, wobble, warp, shift, missing_parts, extra_parts, holes, leak, snap_to_segments,
        activation_blob, hull, expand, contour_points,
    )
}  # fmt: skip


_MAX_STEPS, _MAX_SHORTFALL = 8, 0.05


def simulate_coarse_mask(
    mask: np.ndarray,
    rng: np.random.Generator,
    image: np.ndarray | None = None,
    simulators: Sequence[str] | None = None,
    iou_range: tuple[float, float] = (0.5, 1.0),
) -> np.ndarray:
    """Degrade a mask with randomly chosen simulators until its IoU with the ground truth falls to a random target.

    Args:
        mask: (H, W) bool, the ground truth.
        rng: random number generator.
        image: (H, W, 3) uint8; simulators that follow colours do nothing without it.
        simulators: names from :data:`SIMULATORS`; None: all.
        iou_range: min and max of the target, which is uniformly distributed. A step that would fall below the range, or
            more than 0.05 below the target, is rejected; at most 8 are tried.

    Returns:
        (H, W) bool; the mask itself where it is empty.

    Raises:
        ValueError: a simulator is unknown.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[16:48, 16:48] = True
        >>> coarse = simulate_coarse_mask(mask, np.random.default_rng(0))
        >>> coarse.shape, bool((coarse & mask).any())
        ((64, 64), True)
    """
    names = list(SIMULATORS if simulators is None else simulators)
    unknown = sorted(set(names) - set(SIMULATORS))
    if unknown:
        raise ValueError(f'unknown simulators {unknown}; expected some of {sorted(SIMULATORS)}.')
    if not mask.any():
        return mask.copy()
    low, high = iou_range
    target = rng.uniform(low, high)
    floor = max(low, target - _MAX_SHORTFALL)
    coarse, iou = mask, 1.0
    for _ in range(_MAX_STEPS):
        if iou <= target:
            break
        candidate = SIMULATORS[names[rng.integers(len(names))]](coarse, rng, image)
        candidate_iou = binary_iou(candidate, mask)
        if candidate_iou >= floor:
            coarse, iou = candidate, candidate_iou
    return coarse.copy() if coarse is mask else coarse
