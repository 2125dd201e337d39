"""The diffusion U-Net of SegRefiner (NeurIPS 2023, section 3.4), after Dhariwal and Nichol (NeurIPS 2021).

Module names follow the published checkpoints, so that their weights load by name.
Legend: B masks, C channels, h and w the network's input size in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrefine.registry import MODELS

_NORM_GROUPS = 32


class ResBlock(nn.Module):
    """Residual block of two normalized 3x3 convolutions, conditioned on the timestep embedding.

    Args:
        in_channels, out_channels: numbers of channels, multiples of 32.
        embed_channels: channels of the timestep embedding.
        dropout: dropout probability before the second convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, embed_channels: int, dropout: float = 0.0):
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(_NORM_GROUPS, in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embed_channels, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(_NORM_GROUPS, out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        nn.init.zeros_(self.out_layers[-1].weight)
        nn.init.zeros_(self.out_layers[-1].bias)
        self.skip_connection = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(hidden)


class AttentionBlock(nn.Module):
    """Residual self-attention over all positions."""

    def __init__(self, channels: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(_NORM_GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, h, w = x.shape
        flat = x.reshape(batch, channels, h * w)
        # Channels are ordered as heads of (query, key, value), as in the published weights.
        heads = self.qkv(self.norm(flat)).reshape(batch, self.num_heads, 3, channels // self.num_heads, h * w)
        query, key, value = heads.transpose(-1, -2).unbind(2)
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(-1, -2).reshape(batch, channels, h * w)
        return (flat + self.proj_out(mixed)).reshape(x.shape)


class Downsample(nn.Module):
    """Downsampling by two with a strided convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Upsampling by two with nearest neighbours and a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode='nearest'))


class StepSequential(nn.Sequential):
    """``Sequential`` that passes the timestep embedding to its residual blocks."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


@MODELS.register_module()
class DenoiseUNet(BaseModule):
    """U-Net that predicts logits of the ground-truth mask from an image, a partly coarse mask and the timestep.

    The defaults are those of the published network, with 118,604,673 parameters and 256 x 256 input.

    Args:
        in_channels: channels of image, mask and further inputs.
        out_channels: logits per pixel.
        model_channels: channels of the first level, a multiple of 32.
        channel_mult: channels of each level as multiples of ``model_channels``.
        num_res_blocks: residual blocks per level.
        num_heads: attention heads.
        attention_strides: strides, relative to the first level, at which there is self-attention.
        num_steps: number T of timesteps, the size of the learned embedding.
        dropout: dropout probability in the residual blocks.
        patch_size: side of the patches that are folded into channels before the first level and unfolded after the
            last, for small models with a large input. 1 in the published network.
        init_cfg: see mmengine's ``BaseModule``.
    """

    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 1,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 1, 2, 2, 4, 4),
        num_res_blocks: int = 2,
        num_heads: int = 4,
        attention_strides: Sequence[int] = (16, 32),
        num_steps: int = 6,
        dropout: float = 0.0,
        patch_size: int = 1,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.patch_size = patch_size
        self.stride = patch_size * 2 ** (len(channel_mult) - 1)
        embed_channels = 4 * model_channels
        self.time_embed = nn.Embedding(num_steps, embed_channels)

        def block(in_width: int, out_width: int, stride: int) -> list[nn.Module]:
            layers: list[nn.Module] = [ResBlock(in_width, out_width, embed_channels, dropout)]
            if stride in attention_strides:
                layers.append(AttentionBlock(out_width, num_heads))
            return layers

        widths = [model_channels * mult for mult in channel_mult]
        width, stride = widths[0], 1
        self.input_blocks = nn.ModuleList([StepSequential(nn.Conv2d(in_channels * patch_size**2, width, 3, padding=1))])
        skips = [width]
        for level, level_width in enumerate(widths):
            for _ in range(num_res_blocks):
                self.input_blocks.append(StepSequential(*block(width, level_width, stride)))
                width = level_width
                skips.append(width)
            if level + 1 < len(widths):
                self.input_blocks.append(StepSequential(Downsample(width)))
                skips.append(width)
                stride *= 2

        self.middle_block = StepSequential(
            ResBlock(width, width, embed_channels, dropout),
            AttentionBlock(width, num_heads),
            ResBlock(width, width, embed_channels, dropout),
        )

        self.output_blocks = nn.ModuleList()
        for level, level_width in reversed(list(enumerate(widths))):
            for index in range(num_res_blocks + 1):
                layers = block(width + skips.pop(), level_width, stride)
                width = level_width
                if level > 0 and index == num_res_blocks:
                    layers.append(Upsample(width))
                    stride //= 2
                self.output_blocks.append(StepSequential(*layers))

        self.out = nn.Sequential(
            nn.GroupNorm(_NORM_GROUPS, width), nn.SiLU(), nn.Conv2d(width, out_channels * patch_size**2, 3, padding=1)
        )
        nn.init.zeros_(self.out[-1].weight)
        nn.init.zeros_(self.out[-1].bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits for ``x`` (B, C, h, w), h and w multiples of ``stride``, at timesteps ``t`` (B,) int64."""
        return F.pixel_shuffle(self.out(self.features(x, t)[-1]), self.patch_size)

    def features(self, x: Tensor, t: Tensor) -> list[Tensor]:
        """Decoder features of all levels, from the coarsest to the finest, from which logits are computed."""
        if x.shape[1] != self.in_channels or x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise ValueError(
                f'DenoiseUNet expects (B, {self.in_channels}, h, w) with h and w multiples of {self.stride}, '
                f'got {tuple(x.shape)}.'
            )
        embedding = self.time_embed(t)
        x = F.pixel_unshuffle(x, self.patch_size)
        skips = []
        for layer in self.input_blocks:
            x = layer(x, embedding)
            skips.append(x)
        x = self.middle_block(x, embedding)
        levels = []
        for layer in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            if isinstance(layer[-1], Upsample):
                levels.append(layer[:-1](x, embedding))
                x = layer[-1](levels[-1])
            else:
                x = layer(x, embedding)
        return [*levels, x]
