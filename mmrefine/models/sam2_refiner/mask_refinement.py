"""Mask Refinement of SAM2Refiner: upsamples the object embedding to full resolution with the encoder's stages.

Legend: B objects, d channels, C channels of the encoder's first stage, S input size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.models.sam2_refiner.layers import LayerNorm2d


class MaskRefinement(nn.Module):
    """Three blocks that fuse the encoder's stages, two transposed convolutions, and a stem on the image.

    Args:
        embed_dims: d.
        stage_channels: channels of the encoder's stages of stride 4, 8 and 16.
        zero_init: initialize the last convolution with zeros.
    """

    def __init__(self, embed_dims: int, stage_channels: Sequence[int], zero_init: bool = False):
        super().__init__()
        fine = (max(8, embed_dims // 8), max(8, embed_dims // 16))
        widths = (embed_dims, embed_dims, embed_dims // 2, embed_dims // 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below + lateral, width, 3, padding=1), LayerNorm2d(width), nn.GELU())
            for (below, width), lateral in zip(pairwise(widths), reversed(stage_channels), strict=True)
        )
        self.aux_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths[1:])
        self.upscaling = nn.Sequential(
            *(
                layer
                for below, width in pairwise((widths[-1], *fine))
                for layer in (nn.ConvTranspose2d(below, width, 2, stride=2), LayerNorm2d(width), nn.GELU())
            )
        )
        self.stem = nn.Sequential(
            nn.Conv2d(3, fine[-1], 3, padding=1),
            LayerNorm2d(fine[-1]),
            nn.GELU(),
            nn.Conv2d(fine[-1], fine[-1], 3, padding=1),
        )
        self.head = nn.Conv2d(fine[-1], 1, 3, padding=1)
        if zero_init:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, embedding: Tensor, stages: Sequence[Tensor], image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """
        Args:
            embedding: (B, d, S/16, S/16).
            stages: stages of the encoder, (B, C, S/4, S/4), (B, 2C, S/8, S/8) and (B, 4C, S/16, S/16).
            image: (B, 3, S, S), normalized.

        Returns:
            logits (B, 1, S, S), and those of the blocks, of sizes S/16, S/8 and S/4.
        """
        x, aux = embedding, []
        for block, head, stage in zip(self.blocks, self.aux_heads, reversed(stages), strict=True):
            if x.shape[-2:] != stage.shape[-2:]:
                x = F.interpolate(x, stage.shape[-2:], mode='bilinear', align_corners=False)
            x = block(torch.cat([x, stage], dim=1))
            aux.append(head(x))
        return self.head(self.upscaling(x) + self.stem(image)), tuple(aux)
