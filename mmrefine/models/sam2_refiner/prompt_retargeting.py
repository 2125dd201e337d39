"""Prompt Retargeting of SAM2Refiner: after SAM 2's decoder, the prompts are brought to the object embedding once more.

Legend: B objects, d channels, e the side of the embedding, n output tokens, P sparse prompt tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmrefine.models.sam2_refiner.decoder_capture import DecoderState
from mmrefine.models.sam2_refiner.layers import LayerNorm2d, grid_to_tokens, sam2_transformer, tokens_to_grid

_KERNELS = (3, 5, 7)
_PROMPT_CHANNELS = (16, 64)


class ReceptiveFieldBlock(nn.Module):
    """Three branches of a 1xk and a kx1 convolution, k = 3, 5, 7, joined, plus a shortcut; (B, d, e, e) -> the same.

    Norms are over channels, not over the batch, so that no result depends on what else is in the batch.
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
    """Clicks and the coarse mask as a dense map on the embedding, then one more two-way block of SAM 2's decoder.

    Args:
        embed_dims: d.
        num_heads, mlp_dims: of the block.
        gated: start as identity: outputs are inputs plus a scalar, 0 at first, times the change. Not in the paper.
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
            state: what left SAM 2's decoder.
            prompt_map: (B, 3, 4e, 4e): discs of positive clicks, of negative ones, probabilities of the coarse mask.

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
