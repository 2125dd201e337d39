"""Quadrants of images, and positional encodings for them. Legend: B images, C channels, h and w in pixels or cells."""

from __future__ import annotations

import torch
from torch import Tensor


def split_quadrants(images: Tensor) -> Tensor:
    """Split images (B, C, h, w) -> (4B, C, h/2, w/2): top left, top right, bottom left, bottom right of each.

    Raises:
        ValueError: h or w is odd.
    """
    count, channels, height, width = images.shape
    if height % 2 or width % 2:
        raise ValueError(f'quadrants need even sides, got {height}x{width} (HxW); resize the image first.')
    cells = images.view(count, channels, 2, height // 2, 2, width // 2)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(4 * count, channels, height // 2, width // 2)


def assemble_quadrants(quadrants: Tensor) -> Tensor:
    """Undo :func:`split_quadrants`: (4B, C, h, w) -> (B, C, 2h, 2w).

    Raises:
        ValueError: the number of quadrants is not a multiple of 4.
    """
    count, channels, height, width = quadrants.shape
    if count % 4:
        raise ValueError(f'expected four quadrants per image, got {count} in all.')
    cells = quadrants.view(count // 4, 2, 2, channels, height, width)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(count // 4, channels, 2 * height, 2 * width)


def centred_sine_positions(height: int, width: int, channels: int, *, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positional encoding of cell centres at (i + 0.5) / n, which is comparable between grid sizes.

    The first half of the channels encodes y, the second x; each consists of sines and cosines of 2 pi times the
    position divided by geometrically spaced wavelengths.

    Args:
        height, width: size of the grid.
        channels: number of channels, a multiple of 4.
        device: device of the result.

    Returns:
        (1, channels, height, width) float32.

    Raises:
        ValueError: ``channels`` is not a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f'channels must be a multiple of 4, got {channels}.')
    steps = torch.arange(channels // 4, device=device, dtype=torch.float32)
    wavelengths = 10000.0 ** (4 * steps / channels)

    def encode(side: int) -> Tensor:
        positions = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side
        angles = 2 * torch.pi * positions[:, None] / wavelengths
        return torch.cat([angles.sin(), angles.cos()], dim=1).T

    rows = encode(height)[:, :, None].expand(-1, height, width)
    columns = encode(width)[:, None, :].expand(-1, height, width)
    return torch.cat([rows, columns])[None]
