"""Simulation of a coarse mask with given errors, see :mod:`mmrefine.core.error_model`, whose legend holds here too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, label

from mmrefine.core.contour_distance import distance_px, edge_pixels, signed_distance_px
from mmrefine.core.error_measurement import MaskErrors

# The displacement of a simulated mask is searched up to this spread, on so many pixels along its size.
_MAX_SPREAD, _GRID = 0.4, 64


def simulate_errors(mask: np.ndarray, errors: MaskErrors, length: float, rng: np.random.Generator) -> np.ndarray:
    """Move the contour of a mask by a smooth random field, and change parts.

    Args:
        mask: (H, W) bool, not empty; with room for parts around it.
        errors: of one mask.
        length: over which displacements agree, relative to the mask's size.
        rng: source of all draws.

    Returns:
        (H, W) bool; it may be empty.
    """
    size = math.sqrt(np.count_nonzero(mask))
    noise = _smooth_noise(mask.shape, rng, max(length * size, 1.0))
    on_contour = noise[edge_pixels(mask)]
    if on_contour.size and on_contour.std() > 1e-6:
        noise = (noise - on_contour.mean()) / on_contour.std()
    distance = signed_distance_px(mask) / size
    moved = distance + errors.bias + errors.spread * noise > 0
    removed, added = _draw_parts(moved if moved.any() else mask, errors, size**2, rng)
    if errors.lost is None:
        return (moved | added) & ~removed
    # A second time without what the displacement cut off, which is lost as well.
    for _ in range(2):
        bias, spread = _fit_displacement(mask, distance, noise, removed, added, errors)
        result = ((distance + bias + spread * noise > 0) | added) & ~removed
        loose = _loose_pieces(result, mask, added, errors.loose)
        removed |= loose
    return result & ~loose


def _loose_pieces(result: np.ndarray, mask: np.ndarray, added: np.ndarray, num_kept: int) -> np.ndarray:
    """What came loose from the mask's pieces without being added, but for the largest ``num_kept``."""
    pieces, count = label(result, np.ones((3, 3)))
    wholes, num_wholes = label(mask, np.ones((3, 3)))
    overlaps = np.bincount((wholes * (count + 1) + pieces).ravel(), minlength=(num_wholes + 1) * (count + 1))
    largest = overlaps.reshape(num_wholes + 1, count + 1)[1:, 1:].argmax(axis=1) + 1 if count else []
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[[0, *largest, *np.unique(pieces[added])]] = 0
    loose = np.flatnonzero(sizes)
    return np.isin(pieces, loose[np.argsort(-sizes[loose], kind='stable')[num_kept:]])


def _fit_displacement(
    mask: np.ndarray,
    distance: np.ndarray,
    noise: np.ndarray,
    removed: np.ndarray,
    added: np.ndarray,
    errors: MaskErrors,
) -> tuple[float, float]:
    """Bias and spread with which the whole mask loses and gains as much as was measured.

    The bias follows from the area of the result; what is lost grows with the spread. Pixels of a grid stand for all.
    """
    step = max(1, math.isqrt(np.count_nonzero(mask)) // _GRID)
    grid = (slice(step // 2, None, step),) * 2
    mask, distance, noise, removed, added = (values[grid] for values in (mask, distance, noise, removed, added))
    area = np.count_nonzero(mask)
    num_on = min(max(round(area * (1 - errors.lost + errors.gained)), 1), mask.size - 1)
    low, high, bias = 0.0, _MAX_SPREAD, 0.0
    for _ in range(10):
        spread = (low + high) / 2
        field = np.where(removed, -np.inf, np.where(added, np.inf, distance + spread * noise))
        threshold = np.partition(field.ravel(), mask.size - num_on)[mask.size - num_on]
        bias = -float(threshold) if np.isfinite(threshold) else 0.0
        too_much = np.count_nonzero(mask & (field < threshold)) > errors.lost * area
        low, high = (low, spread) if too_much else (spread, high)
    return bias, spread


def _draw_parts(
    mask: np.ndarray, errors: MaskErrors, area_px: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Parts to take out of a displaced mask and to add to it, relative to an area; shapes are random.

    They lie at the contour, holes deep inside and islands outside.
    """
    removed, added = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    # A part reaches further than the contour is displaced, else it would not have been one.
    reach_px = 1.2 * errors.band * math.sqrt(area_px)
    depth_px = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    for area in errors.missing:
        removed |= _at_contour(mask & ~removed, mask, area * area_px, reach_px, rng)
    for area in errors.extra:
        added |= _at_contour(~(mask | added), ~mask, area * area_px, reach_px, rng)
    for area in errors.holes:
        removed |= _apart(mask & ~removed, depth_px, area * area_px, reach_px, rng)
    for area in errors.islands:
        added |= _apart(~(mask | added), distance_px(mask), area * area_px, reach_px, rng)
    return removed, added


def _at_contour(
    free: np.ndarray, side: np.ndarray, area_px: float, reach_px: float, rng: np.random.Generator
) -> np.ndarray:
    """A part on one side of the contour: half an ellipse, which goes at least so deep."""
    seeds = np.argwhere(free & edge_pixels(side))
    if not len(seeds):
        return np.zeros(free.shape, bool)
    depth_px = max(math.sqrt(2 * area_px / math.pi) * rng.uniform(0.5, 1.0), reach_px)
    y, x = seeds[rng.integers(len(seeds))]
    patch = side[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
    inward = np.argwhere(patch).mean(axis=0) - np.argwhere(~patch).mean(axis=0)
    return _nearest(free, (y, x), math.atan2(*inward), 2 * area_px / (math.pi * depth_px**2), area_px)


def _apart(
    free: np.ndarray, depth_px: np.ndarray, area_px: float, gap_px: float, rng: np.random.Generator
) -> np.ndarray:
    """A part away from the contour, an ellipse, as far as there is room."""
    inside = free & (depth_px > 2)
    centre = inside & (depth_px > math.sqrt(area_px / math.pi) + gap_px + 2)
    seeds = np.argwhere(centre if centre.any() else inside)
    if not len(seeds):
        return np.zeros(free.shape, bool)
    return _nearest(inside, seeds[rng.integers(len(seeds))], rng.uniform(0, np.pi), rng.uniform(0.5, 1.0), area_px)


def _nearest(free: np.ndarray, seed_yx: Sequence[int], angle: float, squeeze: float, area_px: float) -> np.ndarray:
    """The ``area_px`` free pixels nearest to a seed by the distance of an ellipse; at least one of them is left.

    Args:
        free: (H, W) bool.
        seed_yx: its centre.
        angle: of its first axis, in radians from x to y.
        squeeze: length of the second axis over that of the first.
        area_px: number of pixels.
    """
    part = np.zeros(free.shape, bool)
    ys, xs = np.nonzero(free)
    count = min(round(area_px), len(ys) - 1)
    if count > 0:
        dy, dx = ys - seed_yx[0], xs - seed_yx[1]
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        near = np.argpartition(along**2 + (across / squeeze) ** 2, count)[:count]
        part[ys[near], xs[near]] = True
    return part


def _smooth_noise(size_hw: tuple[int, int], rng: np.random.Generator, length_px: float) -> np.ndarray:
    """Gaussian noise of zero mean with correlation exp(-h^2 / (2 length^2)); its scale is arbitrary.

    It is white noise on a grid with spacing length / 3, filtered by a Gaussian with sigma length / sqrt(2).
    """
    step = max(length_px / 3, 1.0)
    cells_hw = [math.ceil(side / step) + 1 for side in size_hw]
    sigma = length_px / step / math.sqrt(2)
    margin = math.ceil(3 * sigma)
    noise = rng.standard_normal([side + 2 * margin for side in cells_hw])
    noise = gaussian_filter(noise, sigma, truncate=3.0)[margin:-margin, margin:-margin]
    scale = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(noise.astype(np.float32), scale, size_hw[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
