"""Measurement of mask errors: the displacement of a contour, and parts that such a displacement does not explain.

Legend: H, W in pixels; lengths are relative to the object's size sqrt(area), areas to its area, unless named ``_px``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from mmrefine.core.boundary import bounding_slices
from mmrefine.core.contour_distance import dilate_cross, distance_px, edge_pixels, signed_distance_px

PART_KINDS = ('missing', 'extra', 'holes', 'islands')
# Errors deeper than 3.5 standard deviations of the contour are parts; the minima apply where the contour is exact.
_BAND_DEVIATIONS, _MIN_BAND, _MIN_BAND_PX = 3.5, 0.03, 1.5
_LAGS = np.linspace(0.0, 1.0, 26)
_LENGTHS = np.geomspace(0.02, 1.5, 80)
_MAX_POINTS = 256
# 70 % of normally distributed values lie within this many standard deviations.
_NORMAL_QUANTILE_70 = 1.0364


@dataclass(frozen=True)
class MaskErrors:
    """The errors of one mask.

    Attributes:
        bias: mean displacement of the contour, positive where the coarse mask is larger.
        spread: standard deviation of the displacement along the contour.
        missing, extra, holes, islands: areas of the missing parts at the contour, the extra parts, the holes, and the
            extra parts that do not touch the object.
        lost, gained: areas of the ground truth that the coarse mask lacks, and of the coarse mask outside the ground
            truth, parts included. None if unknown: the displacement is then simulated as measured.
        loose: number of components that the coarse mask has more than the ground truth, without islands.
    """

    bias: float
    spread: float
    missing: tuple[float, ...] = ()
    extra: tuple[float, ...] = ()
    holes: tuple[float, ...] = ()
    islands: tuple[float, ...] = ()
    lost: float | None = None
    gained: float | None = None
    loose: int = 0

    @property
    def band(self) -> float:
        """Depth from which an error is a part instead of a displacement."""
        return max(_BAND_DEVIATIONS * self.spread, _MIN_BAND)


def measure_errors(coarse: np.ndarray, gt: np.ndarray) -> tuple[MaskErrors, np.ndarray, np.ndarray]:
    """Errors of one mask, contour points (P, 2) that belong to no part, and their displacements (P,) in pixels."""
    window = bounding_slices(coarse | gt, margin_px=2)
    coarse, gt = coarse[window], gt[window]
    area = np.count_nonzero(gt)
    size, depth_px = math.sqrt(area), signed_distance_px(gt)
    # The initial estimate uses the ground-truth contour, of which parts make up less than of the coarse contour.
    displacements = signed_distance_px(coarse)[edge_pixels(gt)] - 0.5
    for _ in range(2):
        bias_px, spread_px = _robust_moments(displacements)
        band_px = max(_BAND_DEVIATIONS * spread_px, _MIN_BAND * size, _MIN_BAND_PX)
        expected = depth_px + bias_px > 0
        lost = _deep_parts(expected & ~coarse, coarse, band_px)
        gained = _deep_parts(coarse & ~expected, expected, band_px)
        usual = edge_pixels(coarse) & ~dilate_cross((lost > 0) | (gained > 0))
        # The centres of edge pixels lie half a pixel inside the coarse contour.
        displacements = 0.5 - depth_px[usual]
    if len(displacements):
        bias_px, spread_px = float(displacements.mean()), float(displacements.std())
    # Missing parts at the image border are not holes.
    missing, holes = _split_parts(np.pad(lost, 1), np.pad(gt, 1), np.pad(~expected, 1, constant_values=True))
    extra, islands = _split_parts(gained, ~gt, expected)
    errors = MaskErrors(
        bias_px / size,
        spread_px / size,
        *(tuple((counts / area).tolist()) for counts in (missing, extra, holes, islands)),
        lost=float(np.count_nonzero(gt & ~coarse) / area),
        gained=float(np.count_nonzero(coarse & ~gt) / area),
        loose=max(_count_components(coarse) - _count_components(gt) - len(islands), 0),
    )
    return errors, np.argwhere(usual), displacements


def _robust_moments(values: np.ndarray) -> tuple[float, float]:
    """Median, and a standard deviation that is robust to parts on up to 30 % of a contour; zeros without values.

    The deviation is derived from the 70 % quantile of the distances from the median. The usual 50 % quantile (MAD)
    finds parts where there are none: on a contour with few bumps it may only see flat stretches.
    """
    if not len(values):
        return 0.0, 0.0
    median = float(np.median(values))
    return median, float(np.quantile(np.abs(values - median), 0.7)) / _NORMAL_QUANTILE_70


def _deep_parts(difference: np.ndarray, origin: np.ndarray, band_px: float) -> np.ndarray:
    """Label (1, 2, ...) the parts of ``difference`` that reach further than the band from ``origin``.

    A part consists of its pixels beyond the band and of those of the difference within reach of them.
    """
    if not origin.any():
        return np.zeros(origin.shape, np.int64)
    cores, count = label(difference & (distance_px(origin) > band_px), np.ones((3, 3)))
    if not count:
        return cores
    pieces, _ = label(difference, np.ones((3, 3)))
    reach_px, (rows, columns) = distance_transform_edt(cores == 0, return_indices=True)
    belongs = difference & (reach_px <= band_px + 1) & (pieces == pieces[rows, columns])
    return np.where(belongs, cores[rows, columns], 0)


def _split_parts(parts: np.ndarray, counted: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas in counted pixels of the labelled parts that touch ``beside``, and of those that do not."""
    counts = np.bincount(parts[counted], minlength=parts.max() + 1)[1:]
    touching = np.isin(np.arange(1, len(counts) + 1), parts[dilate_cross(beside)])
    return counts[touching & (counts > 0)], counts[~touching & (counts > 0)]


def _count_components(mask: np.ndarray) -> int:
    return label(mask, np.ones((3, 3)))[1]


def variogram(points: np.ndarray, displacements: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Empirical variogram: sums of half squared differences by distance, relative to the variance; pair counts."""
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    points, displacements = points[::step] / size, displacements[::step]
    # Below half a pixel there is only rounding.
    if len(points) < 2 or displacements.std() < 0.5:
        return np.zeros(len(_LAGS) - 1), np.zeros(len(_LAGS) - 1)
    first, second = np.triu_indices(len(points), k=1)
    lags = np.linalg.norm(points[first] - points[second], axis=1)
    halves = (displacements[first] - displacements[second]) ** 2 / (2 * displacements.var())
    return np.histogram(lags, _LAGS, weights=halves)[0], np.histogram(lags, _LAGS)[0]


def fit_length(totals: np.ndarray, counts: np.ndarray) -> float:
    """Least-squares fit of the Gaussian variogram sill * (1 - exp(-h^2 / (2 length^2))): its length.

    Unlike a correlogram, a variogram does not depend on the mean, whose error would shorten lengths near the object's
    size.
    """
    if not counts.any():
        return 0.0
    measured = totals / np.maximum(counts, 1)
    centres = (_LAGS[1:] + _LAGS[:-1]) / 2
    shapes = 1 - np.exp(-(centres**2) / (2 * _LENGTHS[:, None] ** 2))
    sills = (counts * shapes * measured).sum(axis=1) / (counts * shapes**2).sum(axis=1)
    misfits = (counts * (measured - sills[:, None] * shapes) ** 2).sum(axis=1)
    return float(_LENGTHS[misfits.argmin()])
