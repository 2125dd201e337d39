"""Segment Anything (ICCV 2023) through the segment-anything package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends.base_backend import PromptBackend, PromptFeatures, dtype_of
from mmrefine.models.backends.checkpoints import load_checkpoint
from mmrefine.models.backends.fused_attention import fuse_attention
from mmrefine.models.backends.token_decoder import decode_masks
from mmrefine.registry import MODELS
from mmrefine.utils import require

_ENCODERS = {
    'vit_b': dict(embed_dim=768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11)),
    'vit_l': dict(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)),
    'vit_h': dict(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)),
}
_SIZES = dict(
    image_size=1024,
    patch_size=16,
    mlp_ratio=4,
    window_size=14,
    prompt_dim=256,
    decoder_heads=8,
    decoder_mlp_dim=2048,
    iou_head_dim=256,
)


@MODELS.register_module()
class SAMBackend(PromptBackend):
    """SAM with a ViT encoder.

    Args:
        arch: 'vit_b', 'vit_l' or 'vit_h'; or a dict of sizes with ``embed_dim``, ``depth``, ``num_heads`` and
            ``global_attn_indexes`` of the encoder, and optionally ``image_size``, ``patch_size``, ``mlp_ratio``,
            ``window_size``, ``prompt_dim``, ``decoder_heads``, ``decoder_mlp_dim`` and ``iou_head_dim``.
        checkpoint: path or URL of the weights, see
            :func:`~mmrefine.models.backends.checkpoints.fetch_checkpoint`; None: random weights.
        encoder_dtype: 'float32', or 'bfloat16' or 'float16' for autocast of the encoder.
        fused: whether the encoder uses PyTorch's fused attention; except for rounding, features are the same.
    """

    segmenter = 'sam'
    package, install = 'segment_anything', 'pip install "mmrefine[sam]"'

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'vit_b',
        checkpoint: str | os.PathLike | None = None,
        encoder_dtype: str = 'float32',
        fused: bool = True,
    ):
        super().__init__()
        self.encoder_dtype = dtype_of(encoder_dtype)
        sizes = _resolve(arch)
        self.sam = self._build(require(f'{self.package}.modeling', self.install, type(self).__name__), sizes)
        if checkpoint is not None:
            load_checkpoint(self.sam, checkpoint)
        if fused:
            fuse_attention(self.sam.image_encoder)
        self.fused = fused
        self.input_hw = (sizes['image_size'],) * 2
        self.prompt_hw = tuple(self.sam.prompt_encoder.mask_input_size)
        self._freeze()

    def _build(self, modeling: ModuleType, sizes: dict[str, Any]) -> nn.Module:
        grid = sizes['image_size'] // sizes['patch_size']
        dim = sizes['prompt_dim']
        encoder = modeling.ImageEncoderViT(
            img_size=sizes['image_size'],
            patch_size=sizes['patch_size'],
            embed_dim=sizes['embed_dim'],
            depth=sizes['depth'],
            num_heads=sizes['num_heads'],
            mlp_ratio=sizes['mlp_ratio'],
            out_chans=dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=sizes['window_size'],
            global_attn_indexes=tuple(sizes['global_attn_indexes']),
        )
        prompts = modeling.PromptEncoder(dim, (grid, grid), (sizes['image_size'],) * 2, mask_in_chans=16)
        transformer = modeling.TwoWayTransformer(
            depth=2, embedding_dim=dim, num_heads=sizes['decoder_heads'], mlp_dim=sizes['decoder_mlp_dim']
        )
        decoder = self._decoder_class(modeling)(
            transformer_dim=dim,
            transformer=transformer,
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=sizes['iou_head_dim'],
            **self._decoder_options(sizes),
        )
        return modeling.Sam(encoder, prompts, decoder)

    @staticmethod
    def _decoder_class(modeling: ModuleType) -> type[nn.Module]:
        return modeling.MaskDecoder

    @staticmethod
    def _decoder_options(sizes: dict[str, Any]) -> dict[str, Any]:
        return {}

    @property
    def iou_head(self) -> nn.Module:
        return self.sam.mask_decoder.iou_prediction_head

    def frame(self, image_hw: tuple[int, int]) -> InputFrame:
        """Frame with the longer side resized to the input and the shorter one padded."""
        scale = self.input_hw[0] / max(image_hw)
        return InputFrame(tuple(image_hw), tuple(max(1, int(side * scale + 0.5)) for side in image_hw), self.input_hw)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> PromptFeatures:
        frame = self.frame(image.shape[:2])
        resized = Image.fromarray(image).resize(frame.resized_hw[::-1], Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).to(self.device)
        inputs = self.sam.preprocess(pixels.permute(2, 0, 1)[None].float())
        reduced = self.encoder_dtype != torch.float32
        with torch.autocast(self.device.type, self.encoder_dtype, enabled=reduced):
            return self._features(frame, self.sam.image_encoder(inputs)).to(torch.float32)

    def _features(self, frame: InputFrame, encoded: Any) -> PromptFeatures:
        return PromptFeatures(frame, encoded[0])

    def predict(
        self,
        features: PromptFeatures,
        points: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        mask_inputs: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        self._check_prompts(points, labels, boxes, mask_inputs)
        frame, device = features.frame, self.device
        if points is not None:
            points = torch.from_numpy(frame.to_input(points)).to(device), torch.from_numpy(labels).to(device)
        if boxes is not None:
            boxes = torch.from_numpy(frame.boxes_to_input(boxes)).to(device)
        if mask_inputs is not None:
            mask_inputs = torch.from_numpy(mask_inputs).to(device)
        return self._decode(features, points, boxes, mask_inputs)

    def _decode(
        self,
        features: PromptFeatures,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        mask_inputs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Logits and predicted IoU of prompts in the model's input."""
        prompts = self.sam.prompt_encoder
        count = next(len(given) for given in (boxes, mask_inputs, points and points[0]) if given is not None)
        sparse, _ = prompts(points, boxes, None)
        return decode_masks(
            features.embedding,
            prompts.get_dense_pe(),
            sparse.expand(count, -1, -1),
            mask_inputs,
            prompts,
            self.sam.mask_decoder,
        )

    def settings(self) -> str:
        return f'{self.encoder_dtype} {self.fused}'


def _resolve(arch: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(arch, str):
        if arch not in _ENCODERS:
            raise ValueError(f'arch must be one of {sorted(_ENCODERS)}, or a dict of sizes, got {arch!r}.')
        arch = _ENCODERS[arch]
    unknown = sorted(arch.keys() - _SIZES.keys() - _ENCODERS['vit_b'].keys())
    missing = sorted(_ENCODERS['vit_b'].keys() - arch.keys())
    if unknown or missing:
        raise ValueError(f'arch lacks the sizes {missing or "(none)"} and has the unknown sizes {unknown or "(none)"}.')
    return {**_SIZES, **arch}
