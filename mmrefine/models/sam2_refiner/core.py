"""The trained part of SAM2Refiner: its three modules around a frozen SAM 2.

Legend: B objects, d channels, e embedding size, S = 16 e input size, n output tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.click_maps import click_maps
from mmrefine.models.sam2_refiner.decoder_capture import DecoderState, masks_of_embedding
from mmrefine.models.sam2_refiner.localization_augment import LocalizationAugment
from mmrefine.models.sam2_refiner.mask_refinement import MaskRefinement
from mmrefine.models.sam2_refiner.prompt_retargeting import PromptRetargeting

_HEADS = 8
_DEFAULTS: Mapping[str, Any] = MappingProxyType({})


class RefinedLogits(NamedTuple):
    """Logits (B, 1, S, S), and those of Mask Refinement's blocks (sizes S/16, S/8, S/4; none without the module)."""

    logits: Tensor
    aux: tuple[Tensor, ...]


class SAM2RefinerCore(nn.Module):
    """Localization Augment, Prompt Retargeting and Mask Refinement; each of them is optional.

    Args:
        embed_dims: d, SAM 2's ``hidden_dim``.
        stage_channels: channels of the encoder's stages of stride 4, 8 and 16.
        la, pr, mr: keyword arguments of :class:`LocalizationAugment`, :class:`PromptRetargeting` and
            :class:`MaskRefinement`; None omits the module.
        init: 'paper': untrained outputs are noise; 'identity': they are the upsampled masks of SAM 2, by a scalar gate
            in Prompt Retargeting and the logits of SAM 2 added to those of Mask Refinement, unlike in the paper.

    Raises:
        ValueError: ``init`` is unknown, or the heads of SAM 2's decoder do not divide d.
    """

    def __init__(
        self,
        embed_dims: int,
        stage_channels: Sequence[int],
        la: Mapping[str, Any] | None = _DEFAULTS,
        pr: Mapping[str, Any] | None = _DEFAULTS,
        mr: Mapping[str, Any] | None = _DEFAULTS,
        init: str = 'paper',
    ):
        super().__init__()
        if init not in ('paper', 'identity'):
            raise ValueError(f"init must be 'paper' or 'identity', got {init!r}.")
        if embed_dims % (2 * _HEADS):
            raise ValueError(f'embed_dims must be a multiple of {2 * _HEADS}, got {embed_dims}.')
        identity = init == 'identity'
        self.residual = identity
        self.la = None if la is None else LocalizationAugment(embed_dims, **la)
        self.pr = None if pr is None else PromptRetargeting(embed_dims, **{'gated': identity, **pr})
        self.mr = None if mr is None else MaskRefinement(embed_dims, stage_channels, **{'zero_init': identity, **mr})

    def augment(self, embedding: Tensor, local: Tensor | None) -> Tensor:
        """The decoder's image embedding (B, d, e, e) with Localization Augment; unchanged without ``local``."""
        return embedding if self.la is None or local is None else self.la(embedding, local)

    def retarget(self, state: DecoderState, coords: Tensor, labels: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Object embedding (B, d, e, e) and output tokens (B, n, d) after Prompt Retargeting.

        Args:
            state: tensors captured in SAM 2's decoder.
            coords: (B, P, 2) clicks, (x, y) pixels of the input; P may be 0.
            labels: (B, P), 1 positive, 0 negative; other points are not drawn into the map of clicks.
            coarse: (B, 1, S/4, S/4), logits of SAM 2's mask.
        """
        if self.pr is None:
            return state.embedding, state.output_tokens
        discs = click_maps(coords, labels, coarse.shape[-1]).to(coarse.dtype)
        return self.pr(state, torch.cat([discs, coarse.sigmoid()], dim=1))

    def predict(
        self,
        embedding: Tensor,
        tokens: Tensor,
        coarse: Tensor,
        mask_index: Tensor,
        stages: Sequence[Tensor],
        fine: Sequence[Tensor],
        image: Tensor,
        decoder: nn.Module,
    ) -> RefinedLogits:
        """Full-size logits from the output of :meth:`retarget`.

        Args:
            embedding, tokens: see :meth:`retarget`.
            coarse: (B, 1, S/4, S/4), logits of SAM 2's mask.
            mask_index: (B,), index of its mask token; used only without Mask Refinement.
            stages: see :class:`MaskRefinement`.
            fine: see :func:`masks_of_embedding`.
            image: (B, 3, S, S), normalized.
            decoder: ``sam_mask_decoder`` of the frozen SAM 2.
        """
        if self.mr is not None:
            logits, aux = self.mr(embedding, stages, image)
            return RefinedLogits(logits + upsample(coarse, image) if self.residual else logits, aux)
        if self.pr is not None:
            coarse = masks_of_embedding(decoder, embedding, tokens, mask_index, fine)
        return RefinedLogits(upsample(coarse, image), ())

    def forward(
        self,
        state: DecoderState,
        coords: Tensor,
        labels: Tensor,
        coarse: Tensor,
        mask_index: Tensor,
        stages: Sequence[Tensor],
        fine: Sequence[Tensor],
        image: Tensor,
        decoder: nn.Module,
    ) -> RefinedLogits:
        """:meth:`retarget` and :meth:`predict` for objects with equal numbers of points."""
        embedding, tokens = self.retarget(state, coords, labels, coarse)
        return self.predict(embedding, tokens, coarse, mask_index, stages, fine, image, decoder)


def upsample(logits: Tensor, image: Tensor) -> Tensor:
    """Logits upsampled to the size of the image, in float32, as in SAM 2."""
    return F.interpolate(logits.float(), image.shape[-2:], mode='bilinear', align_corners=False)
