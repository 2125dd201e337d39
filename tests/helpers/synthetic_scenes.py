"""Synthetic scenes of the kind that the tiny SAM was trained on: plain shapes before a gradient, some half hidden."""

from __future__ import annotations

import cv2
import numpy as np


def make_scene(seed: int, size_hw: tuple[int, int] = (188, 250)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8, coarse and ground-truth masks (N, H, W) bool of what is visible of its shapes."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    corners = rng.integers(0, 130, (2, 2, 3)).astype(np.float32)
    image = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    owner = np.full(size_hw, -1)
    for k in range(6):
        shape = _rectangle(rng, size_hw) if rng.random() < 0.4 else _blob(rng, size_hw)
        owner[shape] = k
        image[shape] = rng.integers(0, 256, 3)
    gt = np.array([owner == k for k in range(6) if (owner == k).sum() > 200])
    coarse = np.array([_spoil(rng, mask) for mask in gt])
    kept = coarse.any(axis=(1, 2))
    return image.astype(np.uint8), coarse[kept], gt[kept]


def _rectangle(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    y, x = (int(rng.integers(0, side - 20)) for side in size_hw)
    h, w = (int(rng.integers(20, side // 2)) for side in size_hw)
    mask = np.zeros(size_hw, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def _blob(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 1 + sum(rng.uniform(-0.2, 0.2) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4))
    scale = rng.uniform(0.1, 0.3) * min(size_hw)
    centre = [rng.uniform(0, side) for side in size_hw[::-1]]
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None] * scale + centre
    return cv2.fillPoly(np.zeros(size_hw, np.uint8), [points.astype(np.int32)], 1) > 0


def _spoil(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Grow or shrink a mask, and cut a piece off or add one."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(rng.integers(5, 14)),) * 2)
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    spoiled = change(mask.astype(np.uint8), kernel) > 0
    ys, xs = np.nonzero(mask)
    k = int(rng.integers(len(ys)))
    half = int(0.25 * np.sqrt(len(ys))) + 1
    piece = slice(max(ys[k] - half, 0), ys[k] + half), slice(max(xs[k] - half, 0), xs[k] + half)
    spoiled[piece] = rng.random() < 0.5
    return spoiled
