"""Random boundary perturbation: coarse masks made from ground-truth masks, to train refiners on.

The idea is CascadePSP's (Cheng et al., CVPR 2020, training data): take away points of the contours, then dilate and
erode random regions until the intersection over union has fallen to a target. The paper leaves the numbers open; the
constants below are this module's own and were fitted to the IoU and area statistics of the masks that SegRefiner
(NeurIPS 2023) is trained on. The test lists how near they come, mask by mask and setting by setting.

Legend: H, W the size of the mask in pixels; L the number of points on a contour, which are its pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

# Shorter contours are not changed.
_MIN_CONTOUR_POINTS = 10
# The gap is the narrowest of so many: rather a protrusion is cut off than a side bridged.
_GAP_CANDIDATES = 10
# Windows in one round between two looks at the IoU: 1 to this many for a contour of 200 px, growing with its root, but
# never fewer than 1 or 2.
_WINDOWS_PER_ROUND = 6
_REFERENCE_CONTOUR_PX = 200
_STRAY_PROBABILITY = 0.2
# Objects beyond this side have windows and kernels that grow with them, as a detector's errors do.
_UNSCALED_SIDE_PX = 128
# A target that cannot be reached (hardly ever: one hole after the other) must not loop for good.
_MAX_ROUNDS = 2000


def perturb_boundary(
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    iou_target: float = 0.8,
    sample_rate: float = 0.1,
    regional_sample_rate: float = 0.1,
    move_rate: float = 0.0,
    window_px: tuple[int, int] = (1, 45),
    kernel_px: tuple[int, int] = (2, 11),
) -> np.ndarray:
    """Make a coarse mask: :func:`simplify_contours`, then :func:`perturb_regions`.

    ``iou_target`` is met relative to the simplified mask, so that the IoU with ``mask`` is lower on average (0.73 for
    the default 0.8 and an object 60 px wide) and lower still for small and thin objects, which a single window may
    swallow: the result can be empty.

    Args:
        mask: (H, W) bool. An empty one comes back empty.
        rng: the source of all randomness.
        iou_target: in (0, 1]; 1 leaves the simplified mask unchanged.
        sample_rate: see :func:`simplify_contours`.
        regional_sample_rate: see :func:`simplify_contours`.
        move_rate: see :func:`simplify_contours`.
        window_px: see :func:`perturb_regions`.
        kernel_px: see :func:`perturb_regions`.

    Returns:
        (H, W) bool, a new array.

    Raises:
        TypeError: ``mask`` is not a bool array.
        ValueError: ``mask`` is not two-dimensional, or a parameter is out of its range.
    """
    simplified = simplify_contours(
        mask, rng, sample_rate=sample_rate, regional_sample_rate=regional_sample_rate, move_rate=move_rate
    )
    return perturb_regions(simplified, rng, iou_target=iou_target, window_px=window_px, kernel_px=kernel_px)


def simplify_contours(
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    sample_rate: float = 0.1,
    regional_sample_rate: float = 0.1,
    move_rate: float = 0.0,
) -> np.ndarray:
    """Redraw every contour, of objects and of holes, as a polygon through a few of its points.

    Of a contour of 10 to 30 points only one to three are left with the defaults: a small object becomes a dot, a line
    or a triangle.

    Args:
        mask: (H, W) bool.
        rng: the source of all randomness.
        sample_rate: share that the polygon goes through of the contour's points outside the gap, in (0, 1].
        regional_sample_rate: share of the contour, in [0, 1), that a gap spans, in which no point is left; every
            contour has one.
        move_rate: how far points stray, at least 0: standard deviation in x and in y, as a share of the radius of the
            disk that has the area of the mask.

    Returns:
        (H, W) bool, a new array.

    Raises:
        TypeError: ``mask`` is not a bool array.
        ValueError: ``mask`` is not two-dimensional, or a rate is out of its range.
    """
    _check_mask(mask)
    if not 0 < sample_rate <= 1:
        raise ValueError(f'sample_rate must be a share of contour points in (0, 1], got {sample_rate}.')
    if not 0 <= regional_sample_rate < 1:
        raise ValueError(f'regional_sample_rate must be a share of the contour in [0, 1), got {regional_sample_rate}.')
    if not 0 <= move_rate < np.inf:
        raise ValueError(f'move_rate must be a finite share of the mask radius, at least 0, got {move_rate}.')
    move_px = move_rate * np.sqrt(np.count_nonzero(mask) / np.pi)
    polygons = []
    for points_xy in _contours(np.ascontiguousarray(mask).view(np.uint8)):
        if len(points_xy) >= _MIN_CONTOUR_POINTS:
            points_xy = points_xy[_kept_points(points_xy, sample_rate, regional_sample_rate, rng)]
            points_xy = np.rint(points_xy + move_px * rng.standard_normal(points_xy.shape)).astype(np.int32)
        polygons.append(points_xy)
    simplified = np.zeros(mask.shape, np.uint8)
    if polygons:
        cv2.fillPoly(simplified, polygons, 1)  # even-odd: contours of holes cut the holes out again
    return simplified.view(bool)


def perturb_regions(
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    iou_target: float = 0.8,
    window_px: tuple[int, int] = (1, 45),
    kernel_px: tuple[int, int] = (2, 11),
) -> np.ndarray:
    """Dilate and erode random windows along the boundary until the IoU with ``mask`` is ``iou_target`` or less.

    A round dilates or erodes, at even odds, with one elliptic kernel in several windows; then the IoU is looked at. It
    therefore ends somewhat below the target (0.57 on average for 0.6), and a mask may come out too large or too small
    as a whole. One window in five lies anywhere around the object and starts from a pixel of its own: it leaves a
    speck beside the object or a hole in it.

    Args:
        mask: (H, W) bool.
        rng: the source of all randomness.
        iou_target: in (0, 1].
        window_px: min and max side of a window; hardly greater than the mask.
        kernel_px: min and max diameter of the kernel. Both ranges are for masks whose box is up to 128 px long;
            for longer ones they grow in proportion (the minimum stays).

    Returns:
        (H, W) bool, a new array. The target is missed only where 2000 rounds do not reach it.

    Raises:
        TypeError: ``mask`` is not a bool array.
        ValueError: ``mask`` is not two-dimensional, or a parameter is out of its range.
    """
    _check_mask(mask)
    if not 0 < iou_target <= 1:
        raise ValueError(f'iou_target must be in (0, 1], got {iou_target}.')
    _check_range('window_px', window_px)
    _check_range('kernel_px', kernel_px)
    target = np.ascontiguousarray(mask).view(np.uint8)
    coarse = target.copy()
    box_xywh = cv2.boundingRect(target)
    scale = max(1.0, max(box_xywh[2:]) / _UNSCALED_SIDE_PX)
    kernel_px = np.rint(np.multiply(kernel_px, scale)).astype(int)
    largest = min(round(window_px[1] * scale), max(box_xywh[2:]) + kernel_px[1])
    window_px = (window_px[0], max(window_px[0], largest))
    contour_px = sum(map(len, _contours(target))) / scale
    most_windows = max(2, int(_WINDOWS_PER_ROUND * np.sqrt(contour_px / _REFERENCE_CONTOUR_PX)))
    for _ in range(_MAX_ROUNDS):
        intersection, union = cv2.countNonZero(coarse & target), cv2.countNonZero(coarse | target)
        if intersection <= iou_target * union:
            break
        grows = rng.random() < 0.5
        operation = cv2.dilate if grows else cv2.erode
        diameter = int(rng.integers(*kernel_px, endpoint=True))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
        count = rng.integers(1, most_windows, endpoint=True)
        centres_xy, strays = _window_centres(coarse, count, _grown_box(box_xywh, window_px[1], mask.shape), rng)
        sizes_wh = rng.integers(*window_px, size=(count, 2), endpoint=True)
        for (x, y), (left, top), (width, height), stray in zip(
            centres_xy.tolist(), (centres_xy - sizes_wh // 2).tolist(), sizes_wh.tolist(), strays, strict=True
        ):
            if stray:
                coarse[y, x] = grows
            window = coarse[max(0, top) : top + height, max(0, left) : left + width]
            window[:] = operation(window, kernel)
    return coarse.view(bool)


def _kept_points(
    points_xy: np.ndarray, sample_rate: float, regional_sample_rate: float, rng: np.random.Generator
) -> np.ndarray:
    """(L,) bool: a random share of the points, rounded down but at least one, none of them in the gap."""
    length = len(points_xy)
    gap = round(regional_sample_rate * length)
    starts = rng.integers(length, size=_GAP_CANDIDATES)
    widths = ((points_xy[starts] - points_xy[(starts + gap) % length]) ** 2).sum(axis=1)
    outside = (starts[widths.argmin()] + gap + np.arange(length - gap)) % length
    kept = np.zeros(length, bool)
    kept[rng.choice(outside, max(1, int(sample_rate * len(outside))), replace=False)] = True
    return kept


def _window_centres(
    mask: np.ndarray, count: int, around_xyxy: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points in x, y (count, 2) on contours, or, where the second array (count,) is true, anywhere in the box."""
    centres_xy = rng.integers(around_xyxy[:2], around_xyxy[2:], size=(count, 2))
    contour_xy = _movable_points(mask)
    strays = rng.random(count) < (_STRAY_PROBABILITY if len(contour_xy) else 1)
    drawn = rng.integers(max(1, len(contour_xy)), size=count)
    centres_xy[~strays] = contour_xy[drawn[~strays]]
    return centres_xy, strays


def _grown_box(box_xywh: tuple[int, int, int, int], margin_px: int, size_hw: tuple[int, int]) -> tuple[int, ...]:
    left, top, width, height = box_xywh
    right, bottom = min(size_hw[1], left + width + margin_px), min(size_hw[0], top + height + margin_px)
    return max(0, left - margin_px), max(0, top - margin_px), right, bottom


def _contours(mask: np.ndarray) -> list[np.ndarray]:
    """Contours of objects and holes, each (L, 2) int32 in x, y: neighbouring pixels of the mask."""
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0] for contour in contours]


def _movable_points(mask: np.ndarray) -> np.ndarray:
    """Contour points (L, 2) in x, y that are not on the border of the image, where nothing can grow or shrink."""
    contours = _contours(mask)
    if not contours:
        return np.empty((0, 2), np.int32)
    points_xy = np.concatenate(contours)
    x, y = points_xy.T
    height, width = mask.shape
    return points_xy[(x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)]


def _check_mask(mask: np.ndarray) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != bool:
        raise TypeError(f'mask must be a numpy array of bool, got {getattr(mask, "dtype", type(mask).__name__)}.')
    if mask.ndim != 2 or 0 in mask.shape:
        raise ValueError(f'mask must have shape (H, W) with at least one pixel, got {mask.shape}.')


def _check_range(name: str, values: tuple[int, int]) -> None:
    if not 1 <= values[0] <= values[1]:
        raise ValueError(f'{name} must be a minimum and a maximum in pixels, at least 1, got {values}.')
