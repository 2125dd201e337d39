"""Light denoiser on the features of an image encoder, which runs once per crop, and this network once per timestep.

Legend: B masks, h and w the network's input size in pixels, C channels. Levels go from fine (stride 2) to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrefine.models.denoisers.denoise_unet import AttentionBlock
from mmrefine.registry import MODELS

_STRIDE = 2
_EMBED_CHANNELS = 128  # of the timestep
_ATTENTION_LEVELS = 2  # the coarsest


class _ResBlock(nn.Module):
    """Residual block of two convolutions with batch norm, with scale and shift between them by the timestep."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.embed = nn.Linear(_EMBED_CHANNELS, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.embed.weight)
        nn.init.zeros_(self.embed.bias)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.embed(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = F.relu(self.norm1(self.conv1(x)) * (1 + scale) + shift)
        return F.relu(x + self.norm2(self.conv2(hidden)))


@MODELS.register_module()
class PyramidDenoiser(BaseModule):
    """Small U-Net on the partly coarse mask, to which the image encoder's features are added at every level.

    Args:
        in_channels: channels of the full-resolution input: RGB, mask and cues.
        feature_channels: channels of the encoder's levels, at strides 2, 4, 8, ...
        widths: channels of the U-Net's levels, one for each level of the encoder.
        num_heads: attention heads of the two coarsest levels.
        num_steps: number T of timesteps.
    """

    def __init__(
        self,
        in_channels: int,
        feature_channels: Sequence[int],
        widths: Sequence[int] = (32, 64, 128, 160, 256),
        num_heads: int = 4,
        num_steps: int = 6,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if len(feature_channels) != len(widths):
            raise ValueError(
                f'widths must have one value for each of {len(feature_channels)} encoder levels, got {len(widths)}.'
            )
        self.time_embed = nn.Embedding(num_steps, _EMBED_CHANNELS)
        self.stem = nn.Conv2d(in_channels * _STRIDE**2, widths[0], 3, padding=1)
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
            for channels, width in zip(feature_channels, widths, strict=True)
        )
        pairs = list(zip(widths, widths[1:], strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.down_blocks = nn.ModuleList(_ResBlock(width) for width in widths[1:])
        self.attention = nn.ModuleList(
            AttentionBlock(width, num_heads) if level >= len(widths) - _ATTENTION_LEVELS else nn.Identity()
            for level, width in enumerate(widths)
        )
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairs)
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[:-1])
        self.up_blocks = nn.ModuleList(_ResBlock(width) for width in widths[:-1])
        self.out = nn.Conv2d(widths[0], _STRIDE**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, inputs: Tensor, t: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, 1, h, w).

        Args:
            inputs: (B, in_channels, h, w).
            t: (B,) int64 timesteps.
            features: the encoder's levels, (B, feature_channels[i], h / 2^(i+1), w / 2^(i+1)).
        """
        embedding = F.silu(self.time_embed(t))
        x = self.stem(F.pixel_unshuffle(inputs, _STRIDE)) + self.laterals[0](features[0])
        skips = []
        for level, (down, block) in enumerate(zip(self.downs, self.down_blocks, strict=True), start=1):
            skips.append(x)
            x = block(F.relu(down(x) + self.laterals[level](features[level])), embedding)
            x = self.attention[level](x)
        for level in reversed(range(len(skips))):
            x = F.interpolate(self.ups[level](x), scale_factor=2, mode='nearest')
            x = F.relu(self.up_norms[level](x) + skips[level])
            x = self.up_blocks[level](x, embedding)
        return F.pixel_shuffle(self.out(x), _STRIDE)
