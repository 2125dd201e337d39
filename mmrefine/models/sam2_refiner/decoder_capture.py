"""Captures tensors in SAM 2's mask decoder and runs its last step, without a fork of the package.

Legend: B objects, d channels, e embedding size, n output tokens, P sparse prompt tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmrefine.models.sam2_refiner.layers import tokens_to_grid


@dataclass(frozen=True)
class DecoderState:
    """Inputs and outputs of the two-way transformer in one call of the mask decoder.

    Attributes:
        embedding: (B, d, e, e), the object embedding after the transformer.
        positions: (B, d, e, e), positional encoding of the embedding.
        output_tokens: (B, n, d), after the transformer: tokens of the object score (if any), the IoU and the masks.
        initial_tokens: (B, n, d), the same before the transformer.
        sparse: (B, P, d), the prompt encoder's tokens of points and box corners.
    """

    embedding: Tensor
    positions: Tensor
    output_tokens: Tensor
    initial_tokens: Tensor
    sparse: Tensor


@contextmanager
def captured_decoder(decoder: nn.Module) -> Iterator[list[DecoderState]]:
    """Context that appends a :class:`DecoderState` to a list at every call of the decoder.

    Args:
        decoder: ``sam_mask_decoder`` of a SAM 2.
    """
    states: list[DecoderState] = []
    count = first_mask_token(decoder) + decoder.num_mask_tokens

    def keep(module: nn.Module, arguments: tuple[Tensor, ...], outputs: tuple[Tensor, Tensor]) -> None:
        source, positions, tokens = arguments
        attended, embedding = outputs
        states.append(
            DecoderState(
                embedding=tokens_to_grid(embedding, *source.shape[-2:]),
                positions=positions,
                output_tokens=attended[:, :count],
                initial_tokens=tokens[:, :count],
                sparse=tokens[:, count:],
            )
        )

    handle = decoder.transformer.register_forward_hook(keep)
    try:
        yield states
    finally:
        handle.remove()


def first_mask_token(decoder: nn.Module) -> int:
    """Index of the first mask token among the decoder's output tokens."""
    return 1 + int(decoder.pred_obj_scores)


def masks_of_embedding(
    decoder: nn.Module, embedding: Tensor, tokens: Tensor, mask_index: Tensor, fine: Sequence[Tensor]
) -> Tensor:
    """Run the decoder's last step on another embedding and other tokens.

    Args:
        decoder: ``sam_mask_decoder`` of a SAM 2 with high-resolution features.
        embedding: (B, d, e, e).
        tokens: (B, n, d) output tokens.
        mask_index: (B,), indices of mask tokens.
        fine: the encoder's projected features, (B, d/8, 4e, 4e) and (B, d/4, 2e, 2e).

    Returns:
        logits (B, 1, 4e, 4e).
    """
    up1, norm, act1, up2, act2 = decoder.output_upscaling
    upscaled = act1(norm(up1(embedding) + fine[1]))
    upscaled = act2(up2(upscaled) + fine[0])
    first = first_mask_token(decoder)
    weights = torch.stack([mlp(tokens[:, first + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
    chosen = weights[torch.arange(len(weights), device=weights.device), mask_index]
    return torch.einsum('bc,bchw->bhw', chosen, upscaled)[:, None]
