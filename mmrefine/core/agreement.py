"""How far two masks are the same. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import numpy as np


def agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray | float:
    """IoU of two (H, W) bool masks, 1 where both are empty; of pairs of (N, H, W) masks (N,) float64."""
    if first.ndim == 3:
        return np.array([agreement(*pair) for pair in zip(first, second, strict=True)], np.float64)
    union_px = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union_px if union_px else 1.0
