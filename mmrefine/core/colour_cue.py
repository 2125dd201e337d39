"""Colour model of one object as an input channel, after GrabCut (Rother et al., SIGGRAPH 2004).

Foreground and background of the coarse mask inside a crop give two colour histograms. Their log ratio, looked up at
every pixel, shows where colours contradict the mask. With ``cells`` greater than 1 the histograms also bin the
position, which makes the colour model local.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

_LOG_RANGE = 4.0
_SIGMA_BINS = 1.0  # of the Gaussian that smooths the histograms along every axis


def colour_cue(image: np.ndarray, mask: np.ndarray, bins: int = 16, cells: int = 1) -> np.ndarray:
    """Log ratio of smoothed foreground and background colour histograms, at every pixel.

    Args:
        image: (h, w, 3) uint8.
        mask: (h, w) bool, the coarse mask.
        bins: histogram bins per colour channel.
        cells: bins along each of y and x.

    Returns:
        (h, w) float32 in [-1, 1]: positive where the colour is typical of the foreground, 0 where it tells nothing.
    """
    height, width = mask.shape
    levels = (image.astype(np.int32) * bins) >> 8
    index = (levels[..., 0] * bins + levels[..., 1]) * bins + levels[..., 2]
    shape: tuple[int, ...] = (bins, bins, bins)
    if cells > 1:
        rows = np.arange(height) * cells // height
        columns = np.arange(width) * cells // width
        index = index + (rows[:, None] * cells + columns[None]) * bins**3
        shape = (cells, cells, *shape)
    index = index.ravel()
    size = int(np.prod(shape))
    foreground = np.bincount(index, weights=mask.ravel(), minlength=size)
    total = np.bincount(index, minlength=size)
    histograms = np.stack([foreground, total - foreground]).astype(np.float32).reshape(2, *shape)
    sigmas = (0, *(_SIGMA_BINS,) * len(shape))
    smooth = gaussian_filter(histograms, sigmas, mode='constant', truncate=2.0).reshape(2, -1)
    # Densities instead of counts, so that a small object is not outvoted; 1e-2 avoids the logarithm of 0.
    density = (smooth + 1e-2) / (smooth.sum(axis=1, keepdims=True) + 1e-2 * np.count_nonzero(total))
    ratio = np.log(density[0]) - np.log(density[1])
    return (np.clip(ratio, -_LOG_RANGE, _LOG_RANGE) / _LOG_RANGE).astype(np.float32)[index].reshape(height, width)
