"""Prompt Retargeting of SAM2Refiner: fuses the prompts with the object embedding again, after SAM 2's decoder.

Legend: B objects, d channels, e embedding size, n output tokens, P sparse prompt tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmrefine.models.sam2_refiner.decoder_capture import DecoderState
from mmrefine.models.sam2_refiner.layers import LayerNorm2d, grid_to_tokens, sam2_transformer, tokens_to_grid

_KERNELS = (3, 5, 7)
_PROMPT_CHANNELS = (16, 64)


class ReceptiveFieldBlock(nn.Module):
    """Three branches of 1xk and kx1 convolutions, k = 3, 5, 7, concatenated, with a shortcut; keeps (B, d, e, e).

    Layer normalization makes the result independent of the rest of the batch.
    """

    def __init__(self, embed_dims: int):
        super().__init__()
        width = embed_dims // 4
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(embed_dims, width, 1),
                LayerNorm2d(width),
                nn.GELU(),
                nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2)),
                nn.Conv2d(width, width, (kernel, 1), padding=(kernel // 2, 0)),
                LayerNorm2d(width),
                nn.GELU(),
            )
            for kernel in _KERNELS
        )
        self.join = nn.Conv2d(len(_KERNELS) * width, embed_dims, 1)
        self.shortcut = nn.Conv2d(embed_dims, embed_dims, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], dim=1)) + self.shortcut(x)


class PromptRetargeting(nn.Module):
    """Adds clicks and the coarse mask to the embedding as a dense map, then runs one two-way block of SAM 2's decoder.

    Args:
        embed_dims: d.
        num_heads, mlp_dims: number of heads and MLP width of the block.
        gated: scale the residual by a learned scalar, initially 0, so that the module starts as the identity. Not in
            the paper.
    """

    def __init__(self, embed_dims: int, num_heads: int = 8, mlp_dims: int = 2048, gated: bool = False):
        super().__init__()
        first, second = _PROMPT_CHANNELS
        self.context = ReceptiveFieldBlock(embed_dims)
        self.prompt_encoder = nn.Sequential(
            nn.Conv2d(3, first, 2, stride=2),
            LayerNorm2d(first),
            nn.GELU(),
            nn.Conv2d(first, second, 2, stride=2),
            LayerNorm2d(second),
            nn.GELU(),
            nn.Conv2d(second, embed_dims, 1),
        )
        self.block = sam2_transformer().TwoWayAttentionBlock(embed_dims, num_heads, mlp_dims)
        self.gate = nn.Parameter(torch.zeros(())) if gated else None

    def forward(self, state: DecoderState, prompt_map: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            state: tensors captured in SAM 2's decoder.
            prompt_map: (B, 3, 4e, 4e): discs of positive clicks, discs of negative clicks, probabilities of the coarse
                mask.

        Returns:
            embedding (B, d, e, e) and output tokens (B, n, d).
        """
        prompted = self.context(state.embedding) + self.prompt_encoder(prompt_map)
        queries, keys = self.block(
            queries=torch.cat([state.output_tokens, state.sparse], dim=1),
            keys=grid_to_tokens(prompted),
            query_pe=torch.cat([state.initial_tokens, state.sparse], dim=1),
            key_pe=grid_to_tokens(state.positions),
        )
        embedding = tokens_to_grid(keys, *state.embedding.shape[-2:])
        tokens = queries[:, : state.output_tokens.shape[1]]
        if self.gate is None:
            return embedding, tokens
        return (
            state.embedding + self.gate * (embedding - state.embedding),
            state.output_tokens + self.gate * (tokens - state.output_tokens),
        )
