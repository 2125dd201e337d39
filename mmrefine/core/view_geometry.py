"""Warping of masks between augmented views of one image, such as those of a teacher and a student.

Legend: N masks, H and W in pixels. Coordinates are continuous, x to the right and y down; the pixel in row i and column
j has its centre at (j + 0.5, i + 0.5), the image reaches from (0, 0) to (W, H).
"""

from __future__ import annotations

import cv2
import numpy as np


def warp_masks(masks: np.ndarray, matrix: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Warp masks to another view, with linear interpolation and a threshold of 0.5.

    Flips, shifts by integer numbers of pixels, and their combinations are exact. Beyond the original view masks are
    empty.

    Args:
        masks: (N, H, W) bool.
        matrix: (3, 3) homography from points (x, y, 1) of the masks' view to points of the other.
        size_hw: size of the other view.

    Returns:
        (N, *size_hw) bool.

    Raises:
        ValueError: the matrix is not invertible or not (3, 3).

    Example:
        >>> import numpy as np
        >>> mask = np.array([[[1, 0, 0, 0]]], bool)
        >>> shift = np.array([[1, 0, 2], [0, 1, 0], [0, 0, 1]])  # by 2 px to the right
        >>> warp_masks(mask, shift, (1, 4)).astype(int).tolist()
        [[[0, 0, 1, 0]]]
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise ValueError(f'matrix must be an invertible homography (3, 3), got {matrix.tolist()}.')
    to_centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    by_index = np.linalg.inv(to_centres) @ matrix @ to_centres  # OpenCV's origin is the centre of the first pixel
    height, width = size_hw
    warped = np.zeros((len(masks), height, width), bool)
    for source, target in zip(masks, warped, strict=True):
        levels = np.where(source, np.uint8(254), np.uint8(0))
        target[:] = cv2.warpPerspective(levels, by_index, (width, height), flags=cv2.INTER_LINEAR) >= 127
    return warped


def view_to_view(from_matrix: np.ndarray, to_matrix: np.ndarray) -> np.ndarray:
    """(3, 3) homography from one view to another, given those from the image to each of them."""
    return np.asarray(to_matrix, np.float64) @ np.linalg.inv(np.asarray(from_matrix, np.float64))
