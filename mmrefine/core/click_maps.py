"""Disc maps of clicks as network inputs. Legend: B objects, P points each, m the side of the map."""

from __future__ import annotations

import torch
from torch import Tensor

_REFERENCE_RADIUS, _REFERENCE_SIDE = 5, 256


def disc_radius(map_side: int) -> int:
    """Radius of a click's disc in map pixels: 5 on a map of side 256, proportional on others, at least 1."""
    return max(1, round(_REFERENCE_RADIUS * map_side / _REFERENCE_SIDE))


def click_maps(coords: Tensor, labels: Tensor, map_side: int, stride: int = 4, radius: int | None = None) -> Tensor:
    """Discs around positive and negative clicks; labels other than 1 and 0 (box corners, no point) draw nothing.

    A map pixel is set if its centre is at most ``radius`` map pixels from the click, which lies at
    (x + 0.5) / stride - 0.5 on the map.

    Args:
        coords: (B, P, 2), (x, y) pixels of the image.
        labels: (B, P).
        map_side: m.
        stride: image pixels per map pixel.
        radius: radius of the discs in map pixels; None: :func:`disc_radius`.

    Returns:
        (B, 2, m, m) float of zeros and ones: positive, negative.
    """
    radius = disc_radius(map_side) if radius is None else radius
    centres = (coords + 0.5) / stride - 0.5
    grid = torch.arange(map_side, device=coords.device, dtype=centres.dtype)
    across, down = ((grid - centres[..., axis, None]) ** 2 for axis in (0, 1))
    discs = across[:, :, None, :] + down[:, :, :, None] <= radius**2
    kinds = [(discs & (labels == kind)[:, :, None, None]).any(dim=1) for kind in (1, 0)]
    return torch.stack(kinds, dim=1).to(centres.dtype)
