"""Connected components of masks. Legend: H, W in pixels."""

from __future__ import annotations

import cv2
import numpy as np


def components_on(mask: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """The 8-connected components of (H, W) bool ``mask`` that share a pixel with ``anchor``, as (H, W) bool."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    shared = np.unique(labels[mask & anchor])
    return np.isin(labels, shared) & mask
