"""The frozen SAM 2 of SAM2Refiner: construction, features, and masks for prompts.

Legend: B images or objects, K objects, P points each, d channels (``hidden_dim``), S input size, e = S/16.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.image_tiles import assemble_quadrants, split_quadrants
from mmrefine.models.backends.checkpoints import load_checkpoint
from mmrefine.models.sam2_refiner.decoder_capture import DecoderState, captured_decoder
from mmrefine.utils import require

_INSTALL = 'pip install "mmrefine[sam2]"'
_VIDEO = 'sam2.sam2_video_predictor'
_STRIDE, INPUT_MULTIPLE = 16, 64
_SMALL_MEMORY_DIM = 16


@dataclass(frozen=True)
class SAM2Features:
    """Inputs of the heads: features of the frozen encoder, and the image itself.

    Attributes:
        embedding: (B, d, e, e), the mask decoder's image embedding.
        fine: (B, d/8, 4e, 4e) and (B, d/4, 2e, 2e), the mask decoder's high-resolution features.
        stages: stages of the trunk, (B, C, 4e, 4e), (B, 2C, 2e, 2e) and (B, 4C, e, e).
        image: (B, 3, S, S), normalized.
        local: (B, d, 2e, 2e), features of the quadrants; None: not computed.
    """

    embedding: Tensor
    fine: tuple[Tensor, ...]
    stages: tuple[Tensor, ...]
    image: Tensor
    local: Tensor | None = None

    def maps_of(self, row: int) -> dict[str, Tensor]:
        """Feature maps of one image by name, except embedding and image, without a batch axis."""
        maps = {f'fine_{k}': level for k, level in enumerate(self.fine)}
        maps |= {f'stage_{k}': stage for k, stage in enumerate(self.stages)}
        if self.local is not None:
            maps['local'] = self.local
        return {name: values[row] for name, values in maps.items()}

    @classmethod
    def of_maps(cls, embedding: Tensor, maps: Sequence[Mapping[str, Tensor]], image: Tensor) -> SAM2Features:
        """Features of B images from the output of :meth:`maps_of` for each."""
        columns = {name: torch.stack([row[name] for row in maps]) for name in maps[0]}
        fine, stages = (
            tuple(columns[name] for name in sorted(columns) if name.startswith(kind)) for kind in ('fine', 'stage')
        )
        return cls(embedding, fine, stages, image, columns.get('local'))

    def take(self, index: Tensor) -> SAM2Features:
        """Features of the images with these indices, (K,) int64; an index may be repeated."""
        return replace(
            self,
            embedding=take_rows(self.embedding, index),
            fine=tuple(take_rows(level, index) for level in self.fine),
            stages=tuple(take_rows(stage, index) for stage in self.stages),
            image=take_rows(self.image, index),
            local=None if self.local is None else take_rows(self.local, index),
        )


def take_rows(tensor: Tensor, index: Tensor) -> Tensor:
    """``tensor[index]``, without a copy if that is the whole tensor in its order."""
    if len(index) == len(tensor) and torch.equal(index, torch.arange(len(index), device=index.device)):
        return tensor
    return tensor[index]


@dataclass(frozen=True)
class CoarseMasks:
    """Masks of SAM 2, before refinement.

    Attributes:
        logits: (B, 1, S/4, S/4), the mask that SAM 2 would return.
        iou: (B,), its predicted IoU.
        mask_index: (B,) int64, the mask token that it comes from.
        state: tensors captured in the decoder.
    """

    logits: Tensor
    iou: Tensor
    mask_index: Tensor
    state: DecoderState


def build_base(
    config: str = 'sam2.1_hiera_b+',
    checkpoint: str | os.PathLike | None = None,
    small: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    target: str | None = None,
) -> nn.Module:
    """Build a frozen SAM 2 of the package sam2, in evaluation mode and without test-time selection by stability.

    Args:
        config: name of a config of the package: 'sam2' or 'sam2.1' and the size, such as 'sam2.1_hiera_l'.
        checkpoint: path or URL of the weights, see
            :func:`~mmrefine.models.backends.checkpoints.fetch_checkpoint`; None: random weights.
        small: keyword arguments of :func:`small_overrides`, for a model of another size.
        overrides: further overrides, in hydra's syntax.
        target: dotted name of the class to build instead of ``SAM2Base``, such as a video predictor.

    Raises:
        ValueError: the checkpoint is of another model, or the model does not pass :func:`check_base`.
    """
    builder = require('sam2.build_sam', _INSTALL, 'SAM2Refiner')
    extra = [*small_overrides(**small)] if small is not None else []
    if target:
        extra.append(f'++model._target_={target}')
    base = builder.build_sam2(
        f'configs/{config.split("_")[0]}/{config}.yaml',
        device='cpu',
        hydra_overrides_extra=[*extra, *overrides],
        apply_postprocessing=False,
    )
    if checkpoint is not None:
        load_checkpoint(base, checkpoint)
    check_base(base)
    return base.requires_grad_(False).eval()


def small_overrides(
    image_size: int = 128,
    embed_dim: int = 16,
    stages: Sequence[int] = (1, 1, 2, 1),
    hidden_dim: int = 32,
) -> list[str]:
    """Hydra overrides that change the size of the package's 'sam2.1_hiera_t' and none of its other settings.

    Args:
        image_size: S, a multiple of 64.
        embed_dim: channels of the encoder's first stage.
        stages: number of blocks of each of the four stages.
        hidden_dim: d, a multiple of 16.

    Raises:
        ValueError: ``image_size`` or ``hidden_dim`` is not a multiple of these.
    """
    if image_size % INPUT_MULTIPLE:
        raise ValueError(f'image_size must be a multiple of {INPUT_MULTIPLE}, got {image_size}.')
    if hidden_dim % 16:
        raise ValueError(f'hidden_dim must be a multiple of 16, got {hidden_dim}.')
    side = image_size // _STRIDE
    values = {
        'image_size': image_size,
        'image_encoder.trunk.embed_dim': embed_dim,
        'image_encoder.trunk.stages': list(stages),
        'image_encoder.trunk.global_att_blocks': [sum(stages[:3]) - 1],
        'image_encoder.trunk.window_spec': [8, 4, 4, 2],
        'image_encoder.neck.d_model': hidden_dim,
        'image_encoder.neck.backbone_channel_list': [embed_dim * 2**k for k in (3, 2, 1, 0)],
        'image_encoder.neck.position_encoding.num_pos_feats': hidden_dim,
        'image_encoder.neck.position_encoding.warmup_cache': False,
        'memory_attention.d_model': hidden_dim,
        'memory_attention.num_layers': 1,
        'memory_attention.layer.d_model': hidden_dim,
        'memory_attention.layer.dim_feedforward': 2 * hidden_dim,
        'memory_attention.layer.cross_attention.kv_in_dim': _SMALL_MEMORY_DIM,
        'memory_encoder.in_dim': hidden_dim,
        'memory_encoder.out_dim': _SMALL_MEMORY_DIM,
        'memory_encoder.position_encoding.num_pos_feats': _SMALL_MEMORY_DIM,
        'memory_encoder.position_encoding.warmup_cache': False,
        'memory_encoder.mask_downsampler.embed_dim': hidden_dim,
        'memory_encoder.fuser.layer.dim': hidden_dim,
    }
    for attention in ('self_attention', 'cross_attention'):
        values[f'memory_attention.layer.{attention}.embedding_dim'] = hidden_dim
        values[f'memory_attention.layer.{attention}.feat_sizes'] = [side, side]
    return [f'++model.{name}={str(value).replace(" ", "")}' for name, value in values.items()]


def check_base(base: nn.Module) -> None:
    """Check that SAM2Refiner supports a SAM 2 model.

    Raises:
        ValueError: the model is compiled, has no high-resolution features, replaces unstable masks, or its input size
            is not a multiple of 64.
    """
    if isinstance(base, require(_VIDEO, _INSTALL, 'SAM2Refiner').SAM2VideoPredictorVOS):
        raise ValueError(
            'SAM2VideoPredictorVOS is compiled, so that SAM2Refiner cannot read its features; build it without '
            'vos_optimized.'
        )
    if not base.use_high_res_features_in_sam:
        raise ValueError('SAM2Refiner needs a SAM 2 with high-resolution features; set use_high_res_features_in_sam.')
    if base.sam_mask_decoder.dynamic_multimask_via_stability:
        raise ValueError(
            'SAM2Refiner needs a SAM 2 without dynamic multimask selection; build it with apply_postprocessing=False.'
        )
    if base.image_size % INPUT_MULTIPLE:
        raise ValueError(f'the input of SAM 2 must be a multiple of {INPUT_MULTIPLE} pixels, got {base.image_size}.')


def stage_channels(base: nn.Module) -> tuple[int, ...]:
    """Number of channels of the trunk's stages of stride 4, 8 and 16."""
    return tuple(base.image_encoder.trunk.channel_list[::-1][:3])


@contextmanager
def captured_stages(base: nn.Module) -> Iterator[list[tuple[Tensor, ...]]]:
    """Context that appends the trunk's stages of stride 4, 8 and 16 to a list at every encoding."""
    stages: list[tuple[Tensor, ...]] = []
    handle = base.image_encoder.trunk.register_forward_hook(
        lambda module, arguments, outputs: stages.append(tuple(outputs[:3]))
    )
    try:
        yield stages
    finally:
        handle.remove()


@torch.no_grad()
def local_features(base: nn.Module, images: Tensor, tile_scale: float = 1.0, tile_chunk: int = 4) -> Tensor:
    """Features of the four quadrants of each image, each enlarged to the input size, assembled to one map.

    Args:
        images: (B, 3, S, S), normalized.
        tile_scale: 1; or 0.5: quadrants are not enlarged, which takes a quarter of the time at half the resolution.
        tile_chunk: maximum number of quadrants encoded together, fewer if a GPU runs out of memory. It does not change
            the result.

    Returns:
        (B, d, 2e, 2e), at ``tile_scale`` 0.5 (B, d, e, e).

    Raises:
        ValueError: features of the quadrants cannot be pooled by 8.
    """
    side = int(images.shape[-1] * tile_scale)
    if tile_scale not in (0.5, 1.0) or side % INPUT_MULTIPLE:
        raise ValueError(
            f'tile_scale must be 1 or 0.5 and quadrants a multiple of {INPUT_MULTIPLE} pixels, got {tile_scale} and '
            f'{side}.'
        )
    tiles = split_quadrants(images)
    while True:
        try:
            return assemble_quadrants(torch.cat([_encode_tiles(base, part, side) for part in tiles.split(tile_chunk)]))
        except torch.OutOfMemoryError:
            if tile_chunk == 1:
                raise
        tile_chunk = max(min(tile_chunk, len(tiles)) // 2, 1)


def _encode_tiles(base: nn.Module, tiles: Tensor, side: int) -> Tensor:
    enlarged = F.interpolate(tiles, (side, side), mode='bilinear', align_corners=False)
    return base.image_encoder(enlarged)['vision_features']


@torch.no_grad()
def encode_images(base: nn.Module, images: Tensor, tile_scale: float = 1.0, tile_chunk: int = 4) -> SAM2Features:
    """Frozen features of (B, 3, S, S) normalized images.

    Images and quadrants are encoded separately, so that features of the images are those of SAM 2.

    Args:
        tile_scale, tile_chunk: see :func:`local_features`; ``tile_scale`` 0 skips local features.

    Raises:
        ValueError: the size of the images is not S.
    """
    side = base.image_size
    if tuple(images.shape[1:]) != (3, side, side):
        raise ValueError(
            f'images must have shape (B, 3, {side}, {side}), the size of the model, got {tuple(images.shape)}.'
        )
    with captured_stages(base) as stages:
        levels = base.forward_image(images)['backbone_fpn']
    *fine, embedding = levels[-base.num_feature_levels :]
    if base.directly_add_no_mem_embed:
        embedding = embedding + base.no_mem_embed.view(1, -1, 1, 1)
    local = local_features(base, images, tile_scale, tile_chunk) if tile_scale else None
    return SAM2Features(embedding, tuple(fine), stages[0], images, local)


def prompt_masks(
    base: nn.Module,
    embedding: Tensor,
    fine: Sequence[Tensor],
    coords: Tensor,
    labels: Tensor,
    mask_inputs: Tensor | None = None,
    multimask_output: bool = False,
) -> CoarseMasks:
    """Masks of SAM 2 for B prompts with equal numbers of points, one per image; gradients reach the embedding.

    The object score is not used, as by the package's image predictor.

    Args:
        embedding, fine: see :class:`SAM2Features`.
        coords: (B, P, 2), (x, y) pixels of the input.
        labels: (B, P) int32, 1 positive, 0 negative, 2 and 3 corners of a box, -1 padding.
        mask_inputs: (B, 1, S/4, S/4) logits.
        multimask_output: select the mask with the highest predicted IoU from three.
    """
    with torch.no_grad():
        sparse, dense = base.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=mask_inputs)
        positions = base.sam_prompt_encoder.get_dense_pe()
    with captured_decoder(base.sam_mask_decoder) as states:
        logits, iou, _, _ = base.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
            repeat_image=False,
            high_res_features=list(fine),
        )
    best = iou.argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    return CoarseMasks(logits[rows, best][:, None], iou[rows, best], best + int(multimask_output), states[0])
