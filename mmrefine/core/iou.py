"""Intersection over union of binary masks. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def binary_iou(first: np.ndarray | Tensor, second: np.ndarray | Tensor) -> np.ndarray | Tensor | float:
    """IoU of two (H, W) bool masks, 1 if both are empty; for (N, H, W) masks (N,) float64.

    For tensors (..., H, W) bool the result is a tensor (...) float32.

    Example:
        >>> import numpy as np
        >>> float(binary_iou(np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool)))  # 1 of 3 px in both
        0.3333333333333333
    """
    if isinstance(first, Tensor):
        union_px = (first | second).sum(dim=(-2, -1))
        return ((first & second).sum(dim=(-2, -1)) / union_px).masked_fill(union_px == 0, 1.0)
    if first.ndim == 3:
        return np.array([binary_iou(*pair) for pair in zip(first, second, strict=True)], np.float64)
    union_px = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union_px if union_px else 1.0
