"""A colour model of one object, the idea behind GrabCut (Rother et al., SIGGRAPH 2004), as an input channel.

What the coarse mask calls foreground and background inside a crop gives two colour histograms; the log ratio of the
two, looked up at every pixel, says where the mask contradicts its own colours. With ``cells`` over 1 the histograms
also bin the position, so that colours speak for their neighbourhood only.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

_LOG_RANGE = 4.0


def colour_cue(image: np.ndarray, mask: np.ndarray, bins: int = 16, cells: int = 1, sigma: float = 1.0) -> np.ndarray:
    """Log ratio of smoothed foreground and background colour histograms, at every pixel.

    Args:
        image: (h, w, 3) uint8.
        mask: (h, w) bool, the coarse mask.
        bins: histogram bins per colour channel.
        cells: bins along each of y and x.
        sigma: standard deviation of the Gaussian that smooths the histograms along every axis, in bins.

    Returns:
        (h, w) float32 in [-1, 1]: positive where the colours are those of the mask; 0 where nothing is known.
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
    smooth = gaussian_filter(histograms, (0, *(sigma,) * len(shape)), mode='constant', truncate=2.0).reshape(2, -1)
    # Densities, so that a small object is not outvoted; the floor is one stray pixel's weight.
    density = (smooth + 1e-2) / (smooth.sum(axis=1, keepdims=True) + 1e-2 * np.count_nonzero(total))
    ratio = np.log(density[0]) - np.log(density[1])
    return (np.clip(ratio, -_LOG_RANGE, _LOG_RANGE) / _LOG_RANGE).astype(np.float32)[index].reshape(height, width)
