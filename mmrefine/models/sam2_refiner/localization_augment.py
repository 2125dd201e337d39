"""Localization Augment of SAM2Refiner: the image embedding attends to enlarged quadrants of the image.

Legend: B images, d channels, e embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.image_tiles import centred_sine_positions
from mmrefine.models.sam2_refiner.layers import grid_to_tokens, sam2_transformer, tokens_to_grid


class LocalizationAugment(nn.Module):
    """Cross-attention from the embedding to local features pooled over several receptive fields (eqs. 1 and 2).

    The paper's equation has no residual; here the attention is added to the embedding, with a zero-initialized output
    projection, so that an untrained module changes nothing. Positions are added to queries and keys only.

    Args:
        embed_dims: d.
        num_heads: number of attention heads; divides d.
        pools: receptive fields, as kernel and stride of average pooling of the local features.
    """

    def __init__(self, embed_dims: int, num_heads: int = 8, pools: Sequence[int] = (2, 4, 8)):
        super().__init__()
        self.pools = tuple(pools)
        self.norm_query = nn.LayerNorm(embed_dims)
        self.norm_local = nn.LayerNorm(embed_dims)
        self.attention = sam2_transformer().Attention(embed_dims, num_heads)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.out_proj.bias)

    def forward(self, embedding: Tensor, local: Tensor) -> Tensor:
        """
        Args:
            embedding: (B, d, e, e).
            local: (B, d, l, l), features of the assembled quadrants; l a multiple of every receptive field.

        Returns:
            (B, d, e, e).

        Raises:
            ValueError: l is not a multiple of them.
        """
        height, width = embedding.shape[-2:]
        if any(side % pool for side in local.shape[-2:] for pool in self.pools):
            raise ValueError(
                f'local features of {tuple(local.shape[-2:])} cells cannot be pooled by {self.pools}; '
                'choose an input size that is a multiple of 64.'
            )
        pooled = [F.avg_pool2d(local, pool) for pool in self.pools]
        values = self.norm_local(torch.cat([grid_to_tokens(grid) for grid in pooled], dim=1))
        positions = torch.cat([_positions(grid) for grid in pooled], dim=1)
        queries = self.norm_query(grid_to_tokens(embedding)) + _positions(embedding)
        change = self.attention(queries, values + positions, values)
        return embedding + tokens_to_grid(change, height, width)


def _positions(grid: Tensor) -> Tensor:
    """(1, hw, d) positional encoding of a grid."""
    return grid_to_tokens(centred_sine_positions(*grid.shape[-2:], grid.shape[1], device=grid.device))
