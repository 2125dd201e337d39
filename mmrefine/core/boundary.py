"""Boundary bands of masks: the pixels that boundary metrics compare.

Legend: H, W the size of the image in pixels. Pixels outside the image count as background in :func:`boundary_band` and
are ignored in :func:`boundary_ring`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from mmrefine.core.crops import mask_boxes

MBA_STEPS = 5
_MBA_PIXELS_PER_RADIUS = 300


def band_width(size_hw: tuple[int, int], dilation_ratio: float = 0.02) -> int:
    """Width of the boundary band in pixels: a fraction of the image diagonal, at least 1.

    Source: Boundary IoU (Cheng et al., CVPR 2021).

    Raises:
        ValueError: ``dilation_ratio`` is not a positive number.
    """
    if not (dilation_ratio > 0 and math.isfinite(dilation_ratio)):
        raise ValueError(f'dilation_ratio must be a positive fraction of the image diagonal, got {dilation_ratio}.')
    return max(1, round(dilation_ratio * math.hypot(*size_hw)))


def boundary_band(mask: np.ndarray, width_px: int) -> np.ndarray:
    """The pixels of a mask within ``width_px`` of its boundary (Chebyshev distance): Boundary IoU, Cheng et al. 2021.

    The image border counts as a boundary, because an object that is cut off there has an edge. The band of a non-empty
    mask is therefore never empty, and a crop that contains the whole mask has the same band as the image.

    Args:
        mask: (H, W) bool.
        width_px: at least 1.

    Returns:
        (H, W) bool, the mask minus its erosion.
    """
    _check_mask(mask)
    _check_pixels('width_px', width_px)
    # width_px erosions by a 3x3 square equal one by a square of this side, which separates into a column and a row.
    side = 2 * width_px + 1
    inner = np.ascontiguousarray(mask).view(np.uint8)
    for kernel_hw in ((side, 1), (1, side)):
        inner = cv2.erode(inner, np.ones(kernel_hw, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inner == 0)


def boundary_ring(labels: np.ndarray, radius_px: int) -> np.ndarray:
    """The pixels on both sides of a boundary: where dilation and erosion by a disk differ (morphological gradient).

    There is no ring along the image border, since nothing lies on its other side: an empty mask and one that fills the
    image have none.

    Args:
        labels: (H, W) bool mask, or integer label map, in which the boundaries of all classes count.
        radius_px: radius of the disk, at least 1.

    Returns:
        (H, W) bool.
    """
    _check_mask(labels, allow_labels=True)
    _check_pixels('radius_px', radius_px)
    # OpenCV has no morphology for int32 and int64; float64 represents every label exactly.
    levels = np.ascontiguousarray(labels).view(np.uint8) if labels.dtype == bool else labels.astype(np.float64)
    return cv2.morphologyEx(levels, cv2.MORPH_GRADIENT, _disk(radius_px)) > 0


def mba_radii(size_hw: tuple[int, int]) -> list[int]:
    """The five radii of mean boundary accuracy (mBA) for an image of this size, in pixels, ascending.

    CascadePSP (Cheng et al., CVPR 2020) describes five radii, uniformly spaced from 3 to (W + H) / 300. The evaluation
    code released with it and with SegRefiner starts at 1 and excludes the upper end; this function follows the code, so
    that numbers are comparable. In images with W + H up to 300 px all five radii are 1.
    """
    height, width = size_hw
    span = max(0.0, (height + width) / _MBA_PIXELS_PER_RADIUS - 1)
    return [1 + int(span / MBA_STEPS * step) for step in range(MBA_STEPS)]


def bounding_slices(mask: np.ndarray, margin_px: int = 0) -> tuple[slice, slice]:
    """Row and column slices of the tight box of a mask, grown by a margin and clipped to the image.

    Args:
        mask: (H, W) bool; the slices of an empty mask are empty.
        margin_px: pixels added on each side.
    """
    x1, y1, x2, y2 = mask_boxes(mask[None])[0].tolist()
    if not x2:
        return slice(0, 0), slice(0, 0)
    return slice(max(0, y1 - margin_px), y2 + margin_px), slice(max(0, x1 - margin_px), x2 + margin_px)


def _disk(radius_px: int) -> np.ndarray:
    """OpenCV's elliptic kernel with equal axes, written out so that metrics do not change with OpenCV's version."""
    offsets = np.arange(-radius_px, radius_px + 1)
    half_widths = np.rint(np.sqrt(radius_px**2 - offsets**2))
    return (np.abs(offsets)[None, :] <= half_widths[:, None]).astype(np.uint8)


def _check_mask(mask: np.ndarray, allow_labels: bool = False) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in ('biu' if allow_labels else 'b'):
        expected = 'bool or integer labels' if allow_labels else 'bool'
        raise TypeError(f'expected a numpy array of {expected}, got {getattr(mask, "dtype", type(mask).__name__)}.')
    if mask.ndim != 2 or 0 in mask.shape:
        raise ValueError(f'a mask must have shape (H, W) with at least one pixel, got {mask.shape}.')


def _check_pixels(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f'{name} must be at least 1, got {value}.')
