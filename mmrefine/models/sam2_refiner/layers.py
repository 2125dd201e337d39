"""Small layers that the modules share."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.utils import require


class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels of (B, C, h, w), at every position."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def sam2_transformer() -> ModuleType:
    """The package's transformer layers, imported when a module is built."""
    return require('sam2.modeling.sam.transformer', 'pip install "mmrefine[sam2]"', 'SAM2Refiner')


def grid_to_tokens(grid: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, hw, C)."""
    return grid.flatten(2).transpose(1, 2)


def tokens_to_grid(tokens: Tensor, height: int, width: int) -> Tensor:
    """(B, hw, C) -> (B, C, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, (height, width))
