"""Synthetic scenes with thin structures: an ellipse with spokes and holes in front of a textured background.

Legend: S side of the square scene in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

_OVERSAMPLING = 4
_SPOKE_WIDTH = (0.006, 0.02)  # as a fraction of S


def draw_scene(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        size: S.
        rng: source of all randomness.

    Returns:
        image (S, S, 3) uint8 RGB, and the ground-truth mask of the target (S, S) bool: pixels covered to at least one
        half.
    """
    image = _texture(size, rng, contrast=rng.uniform(5, 40))
    for _ in range(rng.integers(3)):  # distractors, which the target may hide in part
        image = _paint(image, _draw_shape(size, rng, spokes=int(rng.integers(4))), rng)
    coverage = _draw_shape(size, rng, spokes=int(rng.integers(4, 9)), holes=int(rng.integers(3)))
    image = _paint(image, coverage, rng)
    image += rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), coverage >= 0.5


def _draw_shape(size: int, rng: np.random.Generator, spokes: int, holes: int = 0) -> np.ndarray:
    """Coverage (S, S) float32 in [0, 1] of an ellipse with spokes that leave its middle, less its holes."""
    side = size * _OVERSAMPLING
    canvas = np.zeros((side, side), np.uint8)
    centre = rng.uniform(0.3, 0.7, 2) * side
    axes = rng.uniform(0.06, 0.2, 2) * side
    tilt = rng.uniform(0, 180)
    cv2.ellipse(canvas, _whole(centre), _whole(axes), tilt, 0, 360, 1, -1)
    for angle in np.linspace(0, 2 * np.pi, spokes, endpoint=False) + rng.uniform(0, 2 * np.pi):
        angle += rng.normal(0, 0.2)
        tip = centre + rng.uniform(1.3, 2.6) * axes.max() * np.array([np.cos(angle), np.sin(angle)])
        width_px = max(rng.uniform(*_SPOKE_WIDTH) * side, _OVERSAMPLING)  # thinner ones would fall into dashes
        cv2.line(canvas, _whole(centre), _whole(tip), 1, round(width_px))
    for _ in range(holes):
        offset = rng.uniform(-0.5, 0.5, 2) * axes.min()
        cv2.ellipse(canvas, _whole(centre + offset), _whole(axes * rng.uniform(0.1, 0.25)), tilt, 0, 360, 0, -1)
    return cv2.resize(canvas.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def _paint(image: np.ndarray, coverage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    surface = _texture(len(image), rng, contrast=rng.uniform(0, 20))
    return image + coverage[..., None] * (surface - image)


def _texture(size: int, rng: np.random.Generator, contrast: float) -> np.ndarray:
    """A random colour with smooth coloured noise of two scales, (S, S, 3) float32 around [0, 255]."""
    texture = np.broadcast_to(rng.uniform(20, 235, 3), (size, size, 3)).astype(np.float32)
    for cells in (int(rng.integers(2, 6)), int(rng.integers(8, 33))):
        noise = rng.normal(0, contrast / 2, (cells, cells, 3)).astype(np.float32)
        texture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return texture


def _whole(values: np.ndarray) -> tuple[int, int]:
    return tuple(int(round(value)) for value in values)
