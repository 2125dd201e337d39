"""Attention of segment-anything's image encoder through PyTorch's fused kernel, with the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BIAS_BYTES = 256 * 2**20


class FusedAttention(nn.Module):
    """Multi-head attention over (B, h, w, C) with decomposed relative positions.

    Relative positions are the additive attention mask of the fused kernel. Its size is the number of queries times the
    number of keys, so heads are computed a few at a time if it is large.

    Args:
        attention: the package's module, whose parameters are shared under the same names.
    """

    def __init__(self, attention: nn.Module):
        super().__init__()
        self.num_heads = attention.num_heads
        self.qkv, self.proj = attention.qkv, attention.proj
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        tokens = height * width
        qkv = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        table_h, table_w = _relative(self.rel_pos_h, height), _relative(self.rel_pos_w, width)
        step = max(1, _BIAS_BYTES // (batch * tokens * tokens * x.element_size()))
        parts = []
        for start in range(0, self.num_heads, step):
            heads = slice(start, start + step)
            bias = _position_bias(query[:, heads].reshape(-1, height, width, query.shape[-1]), table_h, table_w)
            bias = bias.view(batch, -1, tokens, tokens)
            parts.append(
                F.scaled_dot_product_attention(query[:, heads], key[:, heads], value[:, heads], attn_mask=bias)
            )
        out = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self.proj(out.transpose(1, 2).reshape(batch, height, width, channels))


def fuse_attention(encoder: nn.Module) -> None:
    """Replace the attention of every block of an image encoder of segment-anything, in place."""
    for block in encoder.blocks:
        if block.attn.use_rel_pos:
            block.attn = FusedAttention(block.attn)


def _relative(table: Tensor, size: int) -> Tensor:
    """(size, size, C): the entry of a table of 2 size - 1 offsets for every pair of positions."""
    if len(table) != 2 * size - 1:
        raise ValueError(f'expected {2 * size - 1} relative positions for {size} cells, got {len(table)}.')
    position = torch.arange(size, device=table.device)
    return table[position[:, None] - position[None, :] + size - 1]


def _position_bias(query: Tensor, table_h: Tensor, table_w: Tensor) -> Tensor:
    """Bias of relative positions for the scores of (B, h, w, C) queries: (B, h w, h w)."""
    batch, height, width, _ = query.shape
    rows = torch.einsum('bhwc,hkc->bhwk', query, table_h.to(query.dtype)).contiguous()
    columns = torch.einsum('bhwc,wkc->bhwk', query, table_w.to(query.dtype)).contiguous()
    return (rows[..., :, None] + columns[..., None, :]).view(batch, height * width, height * width)
