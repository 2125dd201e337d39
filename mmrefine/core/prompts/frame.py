"""Geometry of the model's input: position of the image in it, and resampling between image and grids of the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class InputFrame:
    """Position of an image in the model's input: resized to ``resized_hw``, padded right and below to ``input_hw``.

    segment-anything keeps the aspect ratio and pads; SAM 2 stretches the image, so that both sizes are the same.

    Attributes:
        image_hw: size of the original image in pixels.
        resized_hw: size of the resized image in the model's input.
        input_hw: size of the model's input.
    """

    image_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    input_hw: tuple[int, int]

    def to_input(self, points_xy: np.ndarray) -> np.ndarray:
        """Map (..., 2) pixel coordinates (x, y) of the image to the model's input, float32."""
        scale_yx = np.divide(self.resized_hw, self.image_hw)
        return (points_xy.astype(np.float64) * scale_yx[::-1]).astype(np.float32)

    def boxes_to_input(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Map (N, 4) boxes of the image to the model's input, float32."""
        return self.to_input(boxes_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)

    def sampling(self, grid_hw: tuple[int, int], antialias: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Weights that resample a map of the image to a grid over the model's input (resize, pad, resize).

        Bilinear resizing and zero padding are linear and separable, so that the composition is one matrix per axis:
        ``grid = rows @ image @ columns.T``. For a crop of the image the matrices are cropped.

        Args:
            grid_hw: (h, w) of the grid.
            antialias: average over the area of a grid cell, instead of sampling at its centre.

        Returns:
            rows (h, H) and columns (w, W), float32.
        """
        return tuple(
            _sampling_weights(size, resized, padded, grid, antialias)
            for size, resized, padded, grid in zip(self.image_hw, self.resized_hw, self.input_hw, grid_hw, strict=True)
        )

    def upsampling(self, grid_hw: tuple[int, int], via_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Weights that resample a grid over the model's input to the image (to ``via_hw``, input size, crop, resize).

        Returns:
            rows (H, h) and columns (W, w), float32: ``image = rows @ grid @ columns.T``.
        """
        return tuple(
            _upsampling_weights(size, resized, padded, via, grid)
            for size, resized, padded, via, grid in zip(
                self.image_hw, self.resized_hw, self.input_hw, via_hw, grid_hw, strict=True
            )
        )

    def valid_hw(self, grid_hw: tuple[int, int]) -> tuple[int, int]:
        """Number of rows and columns of a grid over the model's input that lie entirely on the image, at least 1.

        Computed from the size of the image, as in the authors' code, and not from the rounded resized size.
        """
        longest = max(self.image_hw)
        keeps_aspect = all(
            abs(padded * size / longest - resized) <= 0.5
            for size, resized, padded in zip(self.image_hw, self.resized_hw, self.input_hw, strict=True)
        )
        if not keeps_aspect:
            return tuple(grid_hw)
        return tuple(max(1, grid * size // longest) for size, grid in zip(self.image_hw, grid_hw, strict=True))

    def nearest_sampling(self, valid_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`sampling` for a grid that covers exactly the image, by nearest neighbour (top left corner).

        Returns:
            rows (h, H) and columns (w, W), float32: ``grid = rows @ image @ columns.T``.
        """
        return tuple(_nearest_weights(size, grid) for size, grid in zip(self.image_hw, valid_hw, strict=True))


def _resize(rows: torch.Tensor, size: int, antialias: bool = False) -> torch.Tensor:
    """Linear interpolation of every row of (n, length) to (n, size), with torch's weights."""
    shape = (rows.shape[0], size)
    return F.interpolate(rows[None, None], shape, mode='bilinear', align_corners=False, antialias=antialias)[0, 0]


@lru_cache(maxsize=64)
def _sampling_weights(size: int, resized: int, padded: int, grid: int, antialias: bool) -> np.ndarray:
    weights = F.pad(_resize(torch.eye(size), resized), (0, padded - resized))
    return np.ascontiguousarray(_resize(weights, grid, antialias).numpy().T)


@lru_cache(maxsize=64)
def _upsampling_weights(size: int, resized: int, padded: int, via: int, grid: int) -> np.ndarray:
    weights = _resize(_resize(torch.eye(grid), via), padded)[:, :resized]
    return np.ascontiguousarray(_resize(weights, size).numpy().T)


@lru_cache(maxsize=64)
def _nearest_weights(size: int, grid: int) -> np.ndarray:
    return np.ascontiguousarray(F.interpolate(torch.eye(size)[None], grid, mode='nearest')[0].numpy().T)
