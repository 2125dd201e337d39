"""Statistical model of mask errors: estimation from coarse and ground-truth masks, and simulation.

The errors of one mask are a displacement of its contour, and parts that such a displacement does not explain: missing
parts at the contour, extra parts, and holes. Simulation draws all errors of one measured mask together, so that their
correlations are kept.

Legend: H, W in pixels; lengths are relative to the object's size sqrt(area), areas to its area, unless named ``_px``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from itertools import zip_longest

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from mmrefine.core.boundary import bounding_slices
from mmrefine.core.iou import binary_iou

FORMAT = 'mmrefine.mask_error_model.v1'
PART_KINDS = ('missing', 'extra', 'holes')
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
        missing, extra, holes: areas of the missing parts at the contour, the extra parts, and the holes.
    """

    bias: float
    spread: float
    missing: tuple[float, ...] = ()
    extra: tuple[float, ...] = ()
    holes: tuple[float, ...] = ()


@dataclass(frozen=True)
class MaskErrorModel:
    """Error statistics of a source of coarse masks.

    Attributes:
        masks: the errors of every measured mask, at least one.
        length: correlation length of displacements: their correlation at distance h in the plane is
            exp(-h^2 / (2 length^2)). 0 where there was no spread to estimate it from.
    """

    masks: tuple[MaskErrors, ...]
    length: float

    @classmethod
    def measure(cls, coarse_masks: Iterable[np.ndarray], gt_masks: Iterable[np.ndarray]) -> MaskErrorModel:
        """Estimate the model from pairs of coarse and ground-truth masks.

        Args:
            coarse_masks, gt_masks: (H, W) bool masks in the same order; sizes may differ between pairs. Pairs that do
                not overlap, for example because one mask is empty, are skipped.

        Raises:
            ValueError: the masks of a pair differ in size, the numbers of masks differ, or no pair overlaps.
        """
        found, totals, counts = [], np.zeros(len(_LAGS) - 1), np.zeros(len(_LAGS) - 1)
        for coarse, gt in zip_longest(coarse_masks, gt_masks):
            if coarse is None or gt is None:
                raise ValueError(
                    'expected one ground-truth mask for every coarse mask, got more '
                    f'{"ground-truth" if coarse is None else "coarse"} masks.'
                )
            if coarse.shape != gt.shape:
                raise ValueError(
                    f'coarse mask and ground truth must have the same size, got {coarse.shape} and {gt.shape}.'
                )
            coarse, gt = coarse.astype(bool), gt.astype(bool)
            if (coarse & gt).any():
                errors, points, displacements = _measure_pair(coarse, gt)
                pair_totals, pair_counts = _variogram(points, displacements, math.sqrt(np.count_nonzero(gt)))
                found.append(errors)
                totals, counts = totals + pair_totals, counts + pair_counts
        if not found:
            raise ValueError('no coarse mask overlaps its ground-truth mask; check that they are in the same order.')
        return cls(tuple(found), _fit_length(totals, counts))

    @property
    def bias(self) -> float:
        """Mean displacement of all contours."""
        return float(np.mean([errors.bias for errors in self.masks]))

    @property
    def bias_spread(self) -> float:
        """Standard deviation of the masks' mean displacements."""
        return float(np.std([errors.bias for errors in self.masks]))

    @property
    def spread(self) -> float:
        """Root mean square of the masks' spreads."""
        return float(np.sqrt(np.mean([errors.spread**2 for errors in self.masks])))

    def areas(self, kind: str) -> list[float]:
        """Areas of all parts of one of :data:`PART_KINDS`."""
        return [area for errors in self.masks for area in getattr(errors, kind)]

    def rate(self, kind: str) -> float:
        """Mean number per mask of parts of one of :data:`PART_KINDS`."""
        return len(self.areas(kind)) / len(self.masks)

    def simulate(self, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Simulate a coarse mask with the errors of a randomly chosen measured mask.

        Args:
            mask: (H, W) bool, the ground truth.
            rng: random number generator.

        Returns:
            (H, W) bool; empty only if ``mask`` is. A displacement that would erase the mask is not applied.
        """
        result = np.zeros(mask.shape, bool)
        errors = self.masks[rng.integers(len(self.masks))]
        if mask.any():
            # The margin leaves space for parts as large as the object.
            window = bounding_slices(mask, margin_px=math.ceil(math.sqrt(np.count_nonzero(mask))) + 2)
            moved = _displace(mask[window], errors, self.length, rng)
            result[window] = _change_parts(moved, errors, np.count_nonzero(mask), rng)
        return result

    def matched(
        self, coarse_masks: Iterable[np.ndarray], gt_masks: Iterable[np.ndarray], seed: int = 0, rounds: int = 5
    ) -> MaskErrorModel:
        """This model with displacements scaled so that simulated masks have the mean IoU of the coarse masks.

        On real masks, displacements and parts cannot be separated exactly, and some errors would count twice without
        scaling.

        Args:
            coarse_masks, gt_masks: the pairs that were measured; all of them are held in memory.
            seed: seed of the simulation.
            rounds: number of bisection steps.
        """
        pairs = [pair for pair in zip(coarse_masks, gt_masks, strict=True) if (pair[0] & pair[1]).any()]
        target = np.mean([1 - binary_iou(coarse, gt) for coarse, gt in pairs])
        low, high, scaled = 0.0, 2.0, self
        for _ in range(rounds):
            scale = (low + high) / 2
            scaled = replace(
                self, masks=tuple(replace(e, bias=e.bias * scale, spread=e.spread * scale) for e in self.masks)
            )
            rng = np.random.default_rng(seed)
            # Every mask is simulated with its own errors, which reduces the variance of the mean.
            own = [MaskErrorModel((errors,), self.length) for errors in scaled.masks]
            drawn = [
                1 - binary_iou(model.simulate(pair[1], rng), pair[1]) for model, pair in zip(own, pairs, strict=True)
            ]
            low, high = (low, scale) if np.mean(drawn) > target else (scale, high)
        return scaled

    def to_dict(self) -> dict:
        """The model as a dict that JSON can store."""
        return {'format': FORMAT, 'length': self.length, 'masks': [asdict(errors) for errors in self.masks]}

    @classmethod
    def from_dict(cls, content: dict) -> MaskErrorModel:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: it is not an error model, or it is damaged.
        """
        if not isinstance(content, dict) or content.get('format') != FORMAT:
            found = content.get('format') if isinstance(content, dict) else type(content).__name__
            raise ValueError(
                f'expected a mask error model of the format {FORMAT!r}, got {found!r}; '
                'write one with tools/analysis_tools/measure_mask_errors.py.'
            )
        try:
            model = cls(tuple(_read_errors(entry) for entry in content['masks']), _number(content['length']))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'the mask error model is damaged: {error}; measure it again.') from error
        if not model.masks:
            raise ValueError('the mask error model contains no masks; measure it again.')
        return model


def _measure_pair(coarse: np.ndarray, gt: np.ndarray) -> tuple[MaskErrors, np.ndarray, np.ndarray]:
    """Errors of one mask, contour points (P, 2) that belong to no part, and their displacements (P,) in pixels."""
    window = bounding_slices(coarse | gt, margin_px=2)
    coarse, gt = coarse[window], gt[window]
    area = np.count_nonzero(gt)
    size, distance_px = math.sqrt(area), _signed_distance_px(gt)
    # The initial estimate uses the ground-truth contour, of which parts make up less than of the coarse contour.
    displacements = _signed_distance_px(coarse)[_edge(gt)] - 0.5
    for _ in range(2):
        bias_px, spread_px = _robust_moments(displacements)
        band_px = max(_BAND_DEVIATIONS * spread_px, _MIN_BAND * size, _MIN_BAND_PX)
        expected = distance_px + bias_px > 0
        lost = _deep_parts(expected & ~coarse, coarse, band_px)
        gained = _deep_parts(coarse & ~expected, expected, band_px)
        usual = _edge(coarse) & ~_grow((lost > 0) | (gained > 0))
        # The centres of edge pixels lie half a pixel inside the coarse contour.
        displacements = 0.5 - distance_px[usual]
    if len(displacements):
        bias_px, spread_px = float(displacements.mean()), float(displacements.std())
    missing, holes = _split_holes(lost, expected)
    parts = {
        kind: tuple((counts / area).tolist())
        for kind, counts in zip(PART_KINDS, (missing, np.bincount(gained.ravel())[1:], holes), strict=True)
    }
    return MaskErrors(bias_px / size, spread_px / size, **parts), np.argwhere(usual), displacements


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
    cores, count = label(difference & (_distance_px(origin) > band_px), np.ones((3, 3)))
    if not count:
        return cores
    pieces, _ = label(difference, np.ones((3, 3)))
    reach_px, (rows, columns) = distance_transform_edt(cores == 0, return_indices=True)
    belongs = difference & (reach_px <= band_px + 1) & (pieces == pieces[rows, columns])
    return np.where(belongs, cores[rows, columns], 0)


def _split_holes(lost: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas in pixels of lost parts that touch the background or the image border, and of those that do not: holes."""
    counts = np.bincount(lost.ravel())[1:]
    outside = np.pad(~expected, 1, constant_values=True)
    is_missing = np.isin(np.arange(1, len(counts) + 1), lost[_grow(outside)[1:-1, 1:-1]])
    return counts[is_missing], counts[~is_missing]


def _variogram(points: np.ndarray, displacements: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
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


def _fit_length(totals: np.ndarray, counts: np.ndarray) -> float:
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


def _displace(mask: np.ndarray, errors: MaskErrors, length: float, rng: np.random.Generator) -> np.ndarray:
    """Displace the contour by a smooth random field that has the bias and the spread of the errors along it."""
    size = math.sqrt(np.count_nonzero(mask))
    noise = _smooth_noise(mask.shape, rng, max(length * size, 1.0))
    on_contour = noise[_edge(mask)]
    if on_contour.size and on_contour.std() > 1e-6:
        noise = (noise - on_contour.mean()) / on_contour.std()
    moved = _signed_distance_px(mask) + size * (errors.bias + errors.spread * noise) > 0
    return moved if moved.any() else mask


def _change_parts(mask: np.ndarray, errors: MaskErrors, area_px: int, rng: np.random.Generator) -> np.ndarray:
    """Remove and add parts with the areas of the errors, at the contour or, for holes, inside; shapes are random."""
    result = mask.copy()
    depth_px = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rim, contour = depth_px == 1, _edge(mask)
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


def _signed_distance_px(mask: np.ndarray) -> np.ndarray:
    """Distance of pixel centres to the contour between pixels, positive inside; large for a full mask."""
    return np.where(mask, _distance_px(~mask), -_distance_px(mask)) - np.where(mask, 0.5, -0.5)


def _distance_px(mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest pixel of the mask."""
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask next to background; the image border does not count."""
    return mask & _grow(~mask)


def _grow(mask: np.ndarray) -> np.ndarray:
    """Dilate a mask by one pixel in the four directions."""
    return cv2.dilate(mask.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))).astype(bool)


def _read_errors(entry: dict) -> MaskErrors:
    names = [field.name for field in fields(MaskErrors)]
    if not isinstance(entry, dict) or set(entry) != set(names):
        got = sorted(entry) if isinstance(entry, dict) else entry
        raise ValueError(f'expected {names} for every mask, got {got!r}')
    parts = {kind: tuple(_number(area) for area in entry[kind]) for kind in PART_KINDS}
    return MaskErrors(_number(entry['bias']), _number(entry['spread']), **parts)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f'expected a finite number, got {value!r}')
    return float(value)
