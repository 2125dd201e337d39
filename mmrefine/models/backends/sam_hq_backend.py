"""Segment Anything in High Quality (NeurIPS 2023) through the segment-anything-hq package."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import Tensor, nn

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends.base_backend import PromptFeatures
from mmrefine.models.backends.sam_backend import SAMBackend
from mmrefine.registry import MODELS


@MODELS.register_module()
class SAMHQBackend(SAMBackend):
    """HQ-SAM: to each output of SAM, the logits of the high-quality token are added, as by its authors.

    Arguments are those of :class:`SAMBackend`. The package fuses early ViT features with the embedding for every
    prompt; here this is done once per image, and stored with the features.
    """

    package, install = 'segment_anything_hq', 'pip install segment-anything-hq timm'

    @staticmethod
    def _decoder_class(modeling: ModuleType) -> type[nn.Module]:
        return modeling.mask_decoder_hq.MaskDecoderHQ

    @staticmethod
    def _decoder_options(sizes: dict[str, Any]) -> dict[str, Any]:
        return {'vit_dim': sizes['embed_dim']}

    def _features(self, frame: InputFrame, encoded: Any) -> PromptFeatures:
        embedding, intermediate = encoded
        decoder = self.sam.mask_decoder
        early = intermediate[0].permute(0, 3, 1, 2)
        fused = decoder.embedding_encoder(embedding) + decoder.compress_vit_feat(early)
        return PromptFeatures(frame, embedding[0], {'fused': fused[0]})

    def _decode(
        self,
        features: PromptFeatures,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        mask_inputs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        prompts = self.sam.prompt_encoder
        sparse, dense = prompts(points, boxes, mask_inputs)
        masks, iou = self.sam.mask_decoder.predict_masks(
            image_embeddings=features.embedding[None],
            image_pe=prompts.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            hq_features=features.extras['fused'][None],
        )
        return masks[:, 1:-1] + masks[:, -1:], iou[:, 1:]
