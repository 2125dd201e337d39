"""Distances to the contour of a mask, which runs between pixels, and the pixels along it."""

from __future__ import annotations

import cv2
import numpy as np


def signed_distance_px(mask: np.ndarray) -> np.ndarray:
    """Distance of pixel centres to the contour between pixels, positive inside; large for a full mask."""
    return np.where(mask, distance_px(~mask), -distance_px(mask)) - np.where(mask, 0.5, -0.5)


def distance_px(mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest pixel of the mask."""
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def edge_pixels(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask next to background; the image border does not count."""
    return mask & dilate_cross(~mask)


def dilate_cross(mask: np.ndarray) -> np.ndarray:
    """Dilate a mask by one pixel in the four directions."""
    return cv2.dilate(mask.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))).astype(bool)
