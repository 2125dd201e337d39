"""Conversion of class activation maps to label maps.

Legend: K classes, H and W in pixels. Activation maps number classes from 0 without the background, as the tools that
produce them do; label maps number them from 1, with 0 for the background.
"""

from __future__ import annotations

import cv2
import numpy as np


def resize_scores(scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize activation maps to the size of their image (bilinear).

    Args:
        scores: (K, h, w) float32, with the aspect ratio of the image up to rounding by a network's stride.
        size_hw: (H, W) of the image.

    Returns:
        (K, H, W) float32.

    Raises:
        ValueError: the aspect ratio differs from the image's.

    Example:
        >>> import numpy as np
        >>> resize_scores(np.ones((2, 4, 4), np.float32), (8, 8)).shape
        (2, 8, 8)
    """
    height, width = scores.shape[1:]
    if (height, width) == tuple(size_hw):
        return scores
    # Rounding can cost at most one cell of the smaller grid.
    if abs(height * size_hw[1] - width * size_hw[0]) > max(size_hw) or 0 in (height, width):
        raise ValueError(
            f'activation maps are {height}x{width} (HxW) but their image is {size_hw[0]}x{size_hw[1]}; expected the '
            'same size, or smaller maps of the same aspect ratio.'
        )
    if not len(scores):
        return np.zeros((0, *size_hw), np.float32)
    return np.stack([cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_LINEAR) for plane in scores])


def activation_label_map(
    classes: np.ndarray, scores: np.ndarray, alpha: float | None = None, *, threshold: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Label map by argmax over the classes and the background, whose score is (1 - max score)^alpha or a constant.

    Either way, a pixel is foreground where its highest class score exceeds a fixed level. For alpha it is the level
    with (1 - level)^alpha = level, 0.19 for alpha 8.

    Args:
        classes: (K,) int, numbered from 0 without the background.
        scores: (K, H, W) float in [0, 1].
        alpha: the higher, the less background.
        threshold: constant score of the background in [0, 1]. Exactly one of alpha and threshold must be given.

    Returns:
        label map (H, W) int64, 0 for the background and class + 1 elsewhere; the winning score (H, W) float32.

    Raises:
        ValueError: wrong shapes, scores outside [0, 1], NaN, or both or neither of alpha and threshold.
    """
    if (alpha is None) == (threshold is None):
        raise ValueError(f'expected either alpha or threshold, got alpha {alpha} and threshold {threshold}.')
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f'threshold must lie in [0, 1], got {threshold}.')
    if scores.ndim != 3 or len(scores) != len(classes):
        raise ValueError(f'scores must be (K, H, W) for {len(classes)} classes, got shape {scores.shape}.')
    if not np.isfinite(scores).all():
        raise ValueError('scores contain NaN or infinite values; expected activations in [0, 1].')
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            f'scores must lie in [0, 1], got {scores.min():.4g} to {scores.max():.4g}; divide each map by its maximum.'
        )
    peak = scores.max(axis=0, initial=0)
    background = (1 - peak) ** alpha if threshold is None else np.full_like(peak, threshold)
    stacked = np.concatenate([background[None], scores]).astype(np.float32)
    labels = np.concatenate([[0], np.asarray(classes, np.int64) + 1])
    return labels[stacked.argmax(axis=0)], stacked.max(axis=0)
