"""Random boundary perturbation: coarse training masks from ground-truth masks.

Follows CascadePSP (Cheng et al., CVPR 2020, training data): contours lose points, then random regions are dilated and
eroded until the IoU has fallen to a target. The paper gives no numbers; the constants below were fitted to the IoU and
area statistics of the masks that SegRefiner (NeurIPS 2023) is trained on. The tests state how close they come.

Legend: H, W the size of the mask in pixels; L the number of contour points, one per contour pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

# Shorter contours are not changed.
_MIN_CONTOUR_POINTS = 10
# The narrowest of this many candidate gaps is used, which cuts off protrusions rather than long stretches of a side.
_GAP_CANDIDATES = 10
# Maximum number of windows between two checks of the IoU for a contour of 200 px; it grows with the square root of the
# length and is at least 2.
_WINDOWS_PER_ROUND = 6
_REFERENCE_CONTOUR_PX = 200
_STRAY_PROBABILITY = 0.2
# Windows and kernels scale with objects longer than this, as errors of detectors do.
_UNSCALED_SIDE_PX = 128
# Bounds the loop for targets that cannot be reached, which is very rare.
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
    """Simulate a coarse mask: :func:`simplify_contours`, then :func:`perturb_regions`.

    ``iou_target`` is relative to the simplified mask, so the IoU with ``mask`` is lower on average (0.73 for the
    default 0.8 and an object 60 px wide), and lower still for small and thin objects, which a single window may erase:
    the result can be empty.

    Args:
        mask: (H, W) bool. For an empty mask the result is empty.
        rng: random number generator.
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

    With the defaults, one to three points remain of a contour of 10 to 30 points: a small object becomes a dot, a line
    or a triangle.

    Args:
        mask: (H, W) bool.
        rng: random number generator.
        sample_rate: fraction of the contour points outside the gap that are kept, in (0, 1].
        regional_sample_rate: length of the gap as a fraction of the contour, in [0, 1). Every contour has one gap,
            within which no point is kept.
        move_rate: standard deviation of the displacement of the points in x and y, as a fraction of the radius of a
            disk with the area of the mask; at least 0.

    Returns:
        (H, W) bool, a new array.

    Raises:
        TypeError: ``mask`` is not a bool array.
        ValueError: ``mask`` is not two-dimensional, or a rate is out of its range.
    """
    _check_mask(mask)
    if not 0 < sample_rate <= 1:
        raise ValueError(f'sample_rate must be in (0, 1], got {sample_rate}.')
    if not 0 <= regional_sample_rate < 1:
        raise ValueError(f'regional_sample_rate must be in [0, 1), got {regional_sample_rate}.')
    if not 0 <= move_rate < np.inf:
        raise ValueError(f'move_rate must be finite and at least 0, got {move_rate}.')
    move_px = move_rate * np.sqrt(np.count_nonzero(mask) / np.pi)
    polygons = []
    for points_xy in _contours(np.ascontiguousarray(mask).view(np.uint8)):
        if len(points_xy) >= _MIN_CONTOUR_POINTS:
            points_xy = points_xy[_kept_points(points_xy, sample_rate, regional_sample_rate, rng)]
            points_xy = np.rint(points_xy + move_px * rng.standard_normal(points_xy.shape)).astype(np.int32)
        polygons.append(points_xy)
    simplified = np.zeros(mask.shape, np.uint8)
    if polygons:
        cv2.fillPoly(simplified, polygons, 1)  # even-odd rule: contours of holes stay holes
    return simplified.view(bool)


def perturb_regions(
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    iou_target: float = 0.8,
    window_px: tuple[int, int] = (1, 45),
    kernel_px: tuple[int, int] = (2, 11),
) -> np.ndarray:
    """Dilate and erode random windows along the boundary until the IoU with ``mask`` is at most ``iou_target``.

    Each round either dilates or erodes, with equal probability, several windows with one elliptic kernel, and then
    checks the IoU. The final IoU is therefore somewhat below the target (0.57 on average for 0.6), and the mask may end
    up too large or too small overall. One window in five is placed anywhere around the object and starts from a single
    changed pixel, which leaves a speck beside the object or a hole in it.

    Args:
        mask: (H, W) bool.
        rng: random number generator.
        iou_target: in (0, 1].
        window_px: min and max side of a window; the maximum is limited to about the size of the mask.
        kernel_px: min and max diameter of the kernel. Both ranges apply to masks whose box is up to 128 px long and
            scale with longer boxes, except for the minimum window.

    Returns:
        (H, W) bool, a new array. The IoU stays above the target only if 2000 rounds do not reach it.

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
    """(L,) bool: a random fraction of the points outside the gap, rounded down, at least one."""
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
    """Window centres (count, 2) in x, y, on contours or anywhere in the box; and (count,) bool: not on a contour."""
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
    """Contours of objects and holes, each (L, 2) int32 in x, y: every pixel along the contour."""
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0] for contour in contours]


def _movable_points(mask: np.ndarray) -> np.ndarray:
    """Contour points (L, 2) in x, y that are not on the image border, where a mask cannot grow."""
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
