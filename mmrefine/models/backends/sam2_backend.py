"""Segment Anything 2 on images (ICLR 2025) through the sam2 package."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.checks import IMAGENET_MEAN, IMAGENET_STD
from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends.base_backend import PromptBackend, PromptFeatures, dtype_of
from mmrefine.models.backends.checkpoints import load_checkpoint
from mmrefine.registry import MODELS
from mmrefine.utils import require

_FINE = ('stride_4', 'stride_8')  # the decoder's high-resolution features
_BOX_CORNERS = (2, 3)


@MODELS.register_module()
class SAM2Backend(PromptBackend):
    """SAM 2 with a Hiera encoder; images are stretched to a square.

    Args:
        config: config of the sam2 package, such as 'sam2.1_hiera_t' ('sam2' or 'sam2.1'; 't', 's', 'b+' or 'l').
        checkpoint: path or URL of the weights, see
            :func:`~mmrefine.models.backends.checkpoints.fetch_checkpoint`; None: random weights.
        overrides: overrides of the config in hydra's syntax.
        encoder_dtype: 'float32', or 'bfloat16' or 'float16' for autocast of the encoder.
    """

    segmenter = 'sam2'

    def __init__(
        self,
        config: str = 'sam2.1_hiera_t',
        checkpoint: str | os.PathLike | None = None,
        overrides: Sequence[str] = (),
        encoder_dtype: str = 'float32',
    ):
        super().__init__()
        self.encoder_dtype = dtype_of(encoder_dtype)
        sam2 = require('sam2.build_sam', 'pip install "mmrefine[sam2]"', type(self).__name__)
        self.sam2 = sam2.build_sam2(
            f'configs/{config.split("_")[0]}/{config}.yaml', device='cpu', hydra_overrides_extra=list(overrides)
        )
        if checkpoint is not None:
            load_checkpoint(self.sam2, checkpoint)
        self.input_hw = (self.sam2.image_size,) * 2
        self.prompt_hw = tuple(self.sam2.sam_prompt_encoder.mask_input_size)
        self.register_buffer('mean', torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self._freeze()

    @property
    def iou_head(self) -> nn.Module:
        return self.sam2.sam_mask_decoder.iou_prediction_head

    def frame(self, image_hw: tuple[int, int]) -> InputFrame:
        return InputFrame(tuple(image_hw), self.input_hw, self.input_hw)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> PromptFeatures:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(self.device)
        pixels = F.interpolate(pixels.float() / 255, self.input_hw, mode='bilinear', antialias=True)
        reduced = self.encoder_dtype != torch.float32
        with torch.autocast(self.device.type, self.encoder_dtype, enabled=reduced):
            levels = self.sam2.forward_image((pixels - self.mean) / self.std)['backbone_fpn']
        *fine, embedding = levels[-self.sam2.num_feature_levels :]
        if self.sam2.directly_add_no_mem_embed:
            embedding = embedding + self.sam2.no_mem_embed.view(1, -1, 1, 1)
        extras = {name: level[0].float() for name, level in zip(_FINE, fine, strict=True)}
        return PromptFeatures(self.frame(image.shape[:2]), embedding[0].float(), extras)

    def predict(
        self,
        features: PromptFeatures,
        points: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        mask_inputs: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        self._check_prompts(points, labels, boxes, mask_inputs)
        if boxes is not None:  # in SAM 2 a box is two points with labels of their own, before other points
            corners = boxes.reshape(-1, 2, 2)
            corner_labels = np.broadcast_to(_BOX_CORNERS, (len(boxes), 2))
            points = corners if points is None else np.concatenate([corners, points], axis=1)
            labels = corner_labels if labels is None else np.concatenate([corner_labels, labels], axis=1)
        if points is not None:
            coords = torch.from_numpy(features.frame.to_input(points)).to(self.device)
            points = coords, torch.from_numpy(np.ascontiguousarray(labels, np.int32)).to(self.device)
        if mask_inputs is not None:
            mask_inputs = torch.from_numpy(mask_inputs).to(self.device)
        encoder = self.sam2.sam_prompt_encoder
        sparse, dense = encoder(points=points, boxes=None, masks=mask_inputs)
        logits, iou, _, _ = self.sam2.sam_mask_decoder(
            image_embeddings=features.embedding[None],
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=True,
            high_res_features=[features.extras[name][None] for name in _FINE],
        )
        return logits, iou

    def settings(self) -> str:
        return str(self.encoder_dtype)
