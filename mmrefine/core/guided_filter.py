"""The guided image filter (He, Sun and Tang, TPAMI 2013) with a colour guide. Legend: H, W in pixels."""

from __future__ import annotations

import cv2
import numpy as np


def guided_filter(guide: np.ndarray, values: np.ndarray, radius_px: int, eps: float) -> np.ndarray:
    """Edge-preserving smoothing: in every window the output is a linear function of the guide's colour.

    The image is mirrored at its border.

    Args:
        guide: (H, W, 3) float, in [0, 1].
        values: (H, W) float.
        radius_px: windows are ``2 * radius_px + 1`` wide.
        eps: regularization of the slopes; edges with a variance well below it are smoothed.

    Returns:
        (H, W) float64.
    """
    guide, values = guide.astype(np.float64), values.astype(np.float64)

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(array, -1, (2 * radius_px + 1,) * 2, borderType=cv2.BORDER_REFLECT).reshape(array.shape)

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values[..., None]) - mean_guide * mean_values[..., None]
    second = [[mean(guide[..., i] * guide[..., j]) for j in range(3)] for i in range(3)]
    variance = np.array(second).transpose(2, 3, 0, 1) - mean_guide[..., :, None] * mean_guide[..., None, :]
    slopes = np.linalg.solve(variance + eps * np.eye(3), covariance[..., None])[..., 0]
    offset = mean_values - (slopes * mean_guide).sum(-1)
    return (mean(slopes) * guide).sum(-1) + mean(offset)
