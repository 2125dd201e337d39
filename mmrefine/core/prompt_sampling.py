"""Random prompts for training, simulated from ground-truth masks. Legend: H and W in pixels, P points."""

from __future__ import annotations

import cv2
import numpy as np

from mmrefine.core.prompts import tight_box

_BAND_FACTOR, _BAND_MIN = 8, 0.01
MASK_LOGIT = 10.0
"""Magnitude of a mask prompt's logits, positive for foreground and negative for background, as in SAM 2."""


def noisy_box(mask: np.ndarray, rng: np.random.Generator, noise: float = 0.1) -> np.ndarray:
    """The tight box with random errors of its centre and size, clipped to the image.

    Args:
        mask: (H, W) bool, not empty.
        rng: random number generator.
        noise: maximum error as a fraction of the sides; 0 gives the tight box.

    Returns:
        (4,) float32, (x1, y1, x2, y2), inclusive pixel indices.
    """
    first, last = np.split(np.array(_box_of(mask), np.float64), 2)
    shift, growth = rng.uniform(-noise, noise, (2, 2)) * (last - first + 1)
    bounds = np.array(mask.shape[::-1]) - 1
    corners = [np.clip(first + shift - growth / 2, 0, bounds), np.clip(last + shift + growth / 2, 0, bounds)]
    return np.concatenate(corners).astype(np.float32)


def random_points(
    mask: np.ndarray, rng: np.random.Generator, num_points: tuple[int, int] = (1, 10), positive_share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Uniformly distributed points: the first on the object, the others with probability ``positive_share``.

    Args:
        mask: (H, W) bool, not empty.
        rng: random number generator.
        num_points: min and max number of points.
        positive_share: probability of a positive point after the first. With a mask without background all are.

    Returns:
        (P, 2) float32, (x, y) pixels, and (P,) int32, 1 for the object, 0 for the background.
    """
    count = int(rng.integers(num_points[0], num_points[1] + 1))
    labels = (rng.random(count) < positive_share) | (np.arange(count) == 0) | mask.all()
    pixels = {kind: np.flatnonzero(mask if kind else ~mask) for kind in (True, False)}
    picks = np.array([rng.choice(pixels[bool(kind)]) for kind in labels])
    rows, columns = np.unravel_index(picks, mask.shape)
    return np.stack([columns, rows], axis=1).astype(np.float32), labels.astype(np.int32)


def noisy_mask_logits(mask: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    """A mask prompt with noise where the mask has details that downsampling by 8 loses, as in the training of HQ-SAM.

    Args:
        mask: (H, W) bool, not empty.
        rng: random number generator.
        side: side of the model's mask prompts.

    Returns:
        (1, side, side) float32 of +-``MASK_LOGIT``.
    """
    cover = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    coarse = (cover >= 0.5 if (cover >= 0.5).any() else cover > 0).astype(np.float32)
    small = cv2.resize(coarse, (max(side // _BAND_FACTOR, 1),) * 2, interpolation=cv2.INTER_LINEAR)
    band = np.abs(coarse - cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)) >= _BAND_MIN
    spoiled = coarse + rng.standard_normal(coarse.shape, np.float32) * band > 0.5
    return np.where(spoiled if spoiled.any() else coarse > 0, MASK_LOGIT, -MASK_LOGIT)[None].astype(np.float32)


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    box = tight_box(mask)
    if box is None:
        raise ValueError('the mask is empty and has no prompts; skip such samples.')
    return box
