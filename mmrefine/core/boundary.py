"""Boundary bands of masks: the pixels that boundary metrics compare.

Legend: H, W the size of the image in pixels. Pixels outside the image count as background in :func:`boundary_band` and
are ignored in :func:`boundary_ring`; each docstring says why.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from mmrefine.core.crops import mask_boxes

MBA_STEPS = 5
_MBA_PIXELS_PER_RADIUS = 300


def band_width(size_hw: tuple[int, int], dilation_ratio: float = 0.02) -> int:
    """Width of the boundary band in pixels: a share of the image's diagonal, at least 1.

    Source: Boundary IoU (Cheng et al., CVPR 2021).

    Raises:
        ValueError: ``dilation_ratio`` is not a positive number.
    """
    if not (dilation_ratio > 0 and math.isfinite(dilation_ratio)):
        raise ValueError(f'dilation_ratio must be a positive share of the image diagonal, got {dilation_ratio}.')
    return max(1, round(dilation_ratio * math.hypot(*size_hw)))


def boundary_band(mask: np.ndarray, width_px: int) -> np.ndarray:
    """The pixels of the mask within ``width_px`` of its boundary, measured in 3x3 steps (Chebyshev distance).

    The border of the image is a boundary too, as an object cut by it has an edge there; so the band of a mask that is
    not empty is never empty, and a crop that holds the whole mask has the band that the image has.

    Args:
        mask: (H, W) bool.
        width_px: at least 1.

    Returns:
        (H, W) bool, the mask without its erosion (Boundary IoU, Cheng et al., CVPR 2021).
    """
    _check_mask(mask)
    _check_pixels('width_px', width_px)
    # width_px erosions by a 3x3 square are one by a square of this side, and that is a column followed by a row.
    side = 2 * width_px + 1
    inner = np.ascontiguousarray(mask).view(np.uint8)
    for kernel_hw in ((side, 1), (1, side)):
        inner = cv2.erode(inner, np.ones(kernel_hw, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inner == 0)


def boundary_ring(labels: np.ndarray, radius_px: int) -> np.ndarray:
    """The pixels on both sides of the boundary: those whose disk holds more than one value (dilation minus erosion).

    Where a mask meets the border of the image there is nothing on the other side, and no ring: an empty mask and one
    that fills the image have none.

    Args:
        labels: (H, W) bool mask, or integer label map, in which the outlines of all classes count.
        radius_px: radius of the disk, at least 1.

    Returns:
        (H, W) bool, where the morphological gradient is not zero.
    """
    _check_mask(labels, allow_labels=True)
    _check_pixels('radius_px', radius_px)
    # OpenCV has no morphology for wide integers; float64 holds every label exactly.
    levels = np.ascontiguousarray(labels).view(np.uint8) if labels.dtype == bool else labels.astype(np.float64)
    return cv2.morphologyEx(levels, cv2.MORPH_GRADIENT, _disk(radius_px)) > 0


def mba_radii(size_hw: tuple[int, int]) -> list[int]:
    """The five ring radii of the mean boundary accuracy in an image of this size, in pixels, ascending.

    CascadePSP (Cheng et al., CVPR 2020) describes five radii, uniformly spaced from 3 to (W + H) / 300. The evaluations
    released with it and with SegRefiner start at 1 and leave the upper end out; we follow them, so that numbers can be
    compared. In images with W + H up to 300 px all five are 1.
    """
    height, width = size_hw
    span = max(0.0, (height + width) / _MBA_PIXELS_PER_RADIUS - 1)
    return [1 + int(span / MBA_STEPS * step) for step in range(MBA_STEPS)]


def bounding_slices(mask: np.ndarray, margin_px: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the smallest box that holds the mask, grown by a margin and clipped to the image.

    Args:
        mask: (H, W) bool; an empty one has a box without pixels.
        margin_px: how far the box grows to each side.
    """
    x1, y1, x2, y2 = mask_boxes(mask[None])[0].tolist()
    if not x2:
        return slice(0, 0), slice(0, 0)
    return slice(max(0, y1 - margin_px), y2 + margin_px), slice(max(0, x1 - margin_px), x2 + margin_px)


def _disk(radius_px: int) -> np.ndarray:
    """OpenCV's ellipse of equal axes, written out so that the metrics do not follow changes of OpenCV."""
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
