"""Simulation of mask errors: a contour is displaced by a smooth random field, then parts are removed and added."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from mmrefine.core.contour_distance import edge_pixels, signed_distance_px
from mmrefine.core.error_measurement import MaskErrors


def displace(mask: np.ndarray, errors: MaskErrors, length: float, rng: np.random.Generator) -> np.ndarray:
    """Displace the contour by a smooth random field that has the bias and the spread of the errors along it."""
    size = math.sqrt(np.count_nonzero(mask))
    noise = _smooth_noise(mask.shape, rng, max(length * size, 1.0))
    on_contour = noise[edge_pixels(mask)]
    if on_contour.size and on_contour.std() > 1e-6:
        noise = (noise - on_contour.mean()) / on_contour.std()
    moved = signed_distance_px(mask) + size * (errors.bias + errors.spread * noise) > 0
    return moved if moved.any() else mask


def change_parts(mask: np.ndarray, errors: MaskErrors, area_px: int, rng: np.random.Generator) -> np.ndarray:
    """Remove and add parts with the areas of the errors, at the contour or, for holes, inside; shapes are random."""
    result = mask.copy()
    depth_px = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rim, contour = depth_px == 1, edge_pixels(mask)
    for area in errors.missing:
        result &= ~_nearest(result, rim & result, area * area_px, rng)
    for area in errors.extra:
        result |= _nearest(~(result | mask), contour, area * area_px, rng)
    for area in errors.holes:
        inside = mask & result & (depth_px > 2)
        centre = inside & (depth_px > math.sqrt(area * area_px / math.pi) + 2)
        result &= ~_nearest(inside, centre if centre.any() else inside, area * area_px, rng)
    return result


def _nearest(free: np.ndarray, seeds: np.ndarray, area_px: float, rng: np.random.Generator) -> np.ndarray:
    """The ``area_px`` free pixels nearest to a random seed by an elliptic distance, leaving at least one free."""
    part = np.zeros(free.shape, bool)
    choices, squeeze, turn = np.argwhere(seeds), rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
    ys, xs = np.nonzero(free)
    count = min(round(area_px), len(ys) - 1)
    if len(choices) and count > 0:
        y, x = choices[rng.integers(len(choices))]
        along = (xs - x) * np.cos(turn) + (ys - y) * np.sin(turn)
        across = (ys - y) * np.cos(turn) - (xs - x) * np.sin(turn)
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
