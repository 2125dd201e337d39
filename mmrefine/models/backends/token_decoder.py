"""segment-anything's mask decoder with the same weights, optimized for many masks of one image.

The package stores feature maps as images; here they are sequences of tokens. Except for rounding, results are the same:

- convolutions with kernel and stride 2, and their transposes, are matrix products over tokens, and only the final
  logits are reordered to pixels;
- the contribution of image positions to queries and keys is the same for all masks and is computed once;
- the three projections of image tokens in a layer are one product, and in the first layer only the part that differs
  between masks, the 16 channels of the mask prompt, is projected for each mask.

Legend: N masks, T prompt tokens, L = h w image tokens, C channels, D channels inside an attention layer, M outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def decode_masks(
    embedding: Tensor,
    positions: Tensor,
    sparse: Tensor,
    mask_inputs: Tensor | None,
    prompts: nn.Module,
    decoder: nn.Module,
) -> tuple[Tensor, Tensor]:
    """Multimask outputs of SAM for N prompts of one image, or for one prompt of each of N images.

    Args:
        embedding: (C, h, w), the image embedding, or (N, C, h, w).
        positions: (1, C, h, w), the prompt encoder's dense positions.
        sparse: (N, T, C), the embedded points and boxes.
        mask_inputs: (N, 1, 4h, 4w) logits, or None.
        prompts, decoder: ``prompt_encoder`` and ``mask_decoder`` of the SAM.

    Returns:
        logits (N, M, 4h, 4w) and predicted IoU (N, M).
    """
    height, width = embedding.shape[-2:]
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens.expand(len(sparse), -1, -1), sparse], dim=1)
    image = embedding.flatten(-2).mT
    if mask_inputs is None:
        private = None
        image = image + prompts.no_mask_embed.weight
    else:
        private = mask_tokens(mask_inputs, prompts.mask_downscaling)
    tokens, image = two_way(decoder.transformer, tokens, image, positions[0].flatten(1).T, private)
    weights = torch.stack(
        [mlp(tokens[:, 1 + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps) if k > 0], dim=1
    )
    logits = upscaled(image, decoder.output_upscaling) @ weights.transpose(1, 2)[:, None]
    logits = _to_pixels(logits, height, width)
    return logits, decoder.iou_prediction_head(tokens[:, 0])[:, 1:]


def mask_tokens(mask_inputs: Tensor, layers: nn.Sequential) -> tuple[Tensor, nn.Conv2d]:
    """Mask prompts (N, 1, 4h, 4w) as tokens (N, L, 16), and the 1x1 convolution that expands them to C channels."""
    first, norm1, act1, second, norm2, act2, expand = layers
    count, _, height, width = mask_inputs.shape
    cells = mask_inputs.view(count, height // 4, 2, 2, width // 4, 2, 2)  # token row, outer, inner; the same in columns
    cells = cells.permute(0, 1, 4, 2, 5, 3, 6).reshape(count, -1, 4, 4)
    cells = act1(_norm(F.linear(cells, first.weight.flatten(1), first.bias), norm1))
    merge = second.weight.permute(0, 2, 3, 1).flatten(1)
    return act2(_norm(F.linear(cells.flatten(2), merge, second.bias), norm2)), expand


def two_way(
    transformer: nn.Module, tokens: Tensor, image: Tensor, positions: Tensor, private: tuple[Tensor, nn.Conv2d] | None
) -> tuple[Tensor, Tensor]:
    """The two-way transformer on prompt tokens (N, T, C) and image tokens.

    Args:
        image: image tokens, (L, C) if all masks share them, or (N, L, C).
        positions: (L, C).
        private: output of :func:`mask_tokens`, which is added to ``image``; or None.

    Returns:
        prompt tokens (N, T, C) and image tokens (N, L, C).
    """
    queries, keys = tokens, None
    for layer in transformer.layers:
        to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        weight, position = _fuse((to_image.k_proj, positions), (to_image.v_proj, None), (to_tokens.q_proj, positions))
        if keys is None:
            keys, projected = _first_projection(image, private, weight, position, len(tokens))
        else:
            projected = F.linear(keys, weight).add_(position)
        key, value, query = projected.chunk(3, dim=-1)
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(queries, queries, queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(placed, placed, queries)
        queries = layer.norm1(queries)
        queries = layer.norm2(queries + _attend(to_image, to_image.q_proj(queries + tokens), key, value))
        queries = layer.norm3(queries + layer.mlp(queries))
        update = _attend(to_tokens, query, to_tokens.k_proj(queries + tokens), to_tokens.v_proj(queries))
        keys = layer.norm4(update.add_(keys))
    last = transformer.final_attn_token_to_image
    weight, position = _fuse((last.k_proj, positions), (last.v_proj, None))
    key, value = F.linear(keys, weight).add_(position).chunk(2, dim=-1)
    queries = queries + _attend(last, last.q_proj(queries + tokens), key, value)
    return transformer.norm_final_attn(queries), keys


def _fuse(*projections: tuple[nn.Linear, Tensor | None]) -> tuple[Tensor, Tensor]:
    """One weight for several projections of image tokens, and the contribution of positions and biases, (L, D)."""
    length = next(len(positions) for _, positions in projections if positions is not None)
    position_codes = [
        layer.bias.expand(length, -1) if positions is None else layer(positions) for layer, positions in projections
    ]
    return torch.cat([layer.weight for layer, _ in projections]), torch.cat(position_codes, dim=1)


def _first_projection(
    image: Tensor, private: tuple[Tensor, nn.Conv2d] | None, weight: Tensor, position: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Image tokens (N, L, C) of the first layer and their projections (N, L, D)."""
    if private is None:
        projected = F.linear(image, weight).add_(position)
        return image.expand(count, -1, -1), projected.expand(count, -1, -1)
    codes, convolution = private
    expand = convolution.weight.flatten(1)
    shared = image + convolution.bias
    keys = F.linear(codes, expand).add_(shared)
    return keys, F.linear(codes, weight @ expand).add_(F.linear(shared, weight).add_(position))


def upscaled(image: Tensor, layers: nn.Sequential) -> Tensor:
    """Upscale image tokens (N, L, C) four times to (N, L, 16, C / 8), the pixels of each token, outer before inner."""
    first, norm, act1, second, act2 = layers
    x = act1(_norm(_sub_pixels(image, first), norm))
    return act2(_sub_pixels(x, second).flatten(2, 3))


def _attend(attention: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    heads = (x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for x in (query, key, value))
    out = F.scaled_dot_product_attention(*heads)
    return attention.out_proj(out.transpose(1, 2).flatten(2))


def _norm(x: Tensor, norm: nn.Module) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _sub_pixels(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Transposed convolution with kernel and stride 2: (..., C_in) to the four pixels of a token, (..., 4, C_out)."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return F.linear(x, weight, layer.bias.repeat(4)).unflatten(-1, (4, -1))


def _to_pixels(logits: Tensor, height: int, width: int) -> Tensor:
    """(N, L, 16, M) to (N, M, 4h, 4w)."""
    count, _, _, outputs = logits.shape
    x = logits.view(count, height, width, 2, 2, 2, 2, outputs)  # rows, columns; outer y, x; inner y, x
    return x.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(count, outputs, 4 * height, 4 * width)
