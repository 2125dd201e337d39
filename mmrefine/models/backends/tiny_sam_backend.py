"""A small segmenter of our own: SAM's prompt encoder and mask decoder on the features of a narrow U-Net."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends.base_backend import PromptFeatures
from mmrefine.models.backends.checkpoints import load_checkpoint
from mmrefine.models.backends.sam_backend import SAMBackend
from mmrefine.models.denoisers import DenoiseUNet
from mmrefine.registry import MODELS
from mmrefine.utils import require


class UNetEncoder(nn.Module):
    """Image features at strides 8, 4 and 2 from the way up of a U-Net.

    It is the U-Net of SegRefiner with the image as its only input and a single step, so that it can start from a
    trained one (``tools/model_converters/segrefiner_to_sam_tiny.py``).

    Args:
        dim: C of the embedding at stride 8; the finer features have C / 4 and C / 8 channels.
        model_channels, channel_mult: widths, see :class:`~mmrefine.models.denoisers.DenoiseUNet`.
    """

    def __init__(self, dim: int, model_channels: int = 32, channel_mult: Sequence[int] = (1, 2, 3, 4)):
        super().__init__()
        self.unet = DenoiseUNet(
            in_channels=3,
            model_channels=model_channels,
            channel_mult=channel_mult,
            num_res_blocks=1,
            attention_strides=(8,),
            num_steps=1,
            patch_size=2,
        )
        del self.unet.out
        fine, middle, coarse = (model_channels * factor for factor in channel_mult[:3])
        self.neck = nn.ModuleList(
            [nn.Conv2d(coarse, dim, 1), nn.Conv2d(middle, dim // 4, 1), nn.Conv2d(fine, dim // 8, 1)]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) normalised images to (B, C, S/8, S/8), (B, C/4, S/4, S/4) and (B, C/8, S/2, S/2)."""
        levels = self.unet.features(x, torch.zeros(len(x), dtype=torch.long, device=x.device))[-3:]
        return tuple(layer(level) for layer, level in zip(self.neck, levels, strict=True))


@MODELS.register_module()
class TinySAMBackend(SAMBackend):
    """A promptable segmenter for small windows around objects, quick enough for a laptop CPU.

    The window is stretched to S x S pixels. Finer features join the decoder as in SAM 2. Otherwise its parts, and the
    names of its weights, are those of SAM.

    Args:
        image_size: S, a multiple of 16.
        dim: width of the decoder, a multiple of 16.
        model_channels, channel_mult: widths of the encoder, see :class:`UNetEncoder`.
        checkpoint: path or address of the weights; None: random weights.
        trainable: leave the weights free for training.
    """

    def __init__(
        self,
        image_size: int = 160,
        dim: int = 128,
        model_channels: int = 32,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        checkpoint: str | os.PathLike | None = None,
        trainable: bool = False,
    ):
        nn.Module.__init__(self)
        self.encoder_dtype, self.fused = torch.float32, False
        modeling = require(f'{self.package}.modeling', self.install, type(self).__name__)
        self.sam = _assemble(modeling, UNetEncoder(dim, model_channels, channel_mult), image_size, dim)
        if checkpoint is not None:
            load_checkpoint(self.sam, checkpoint)
        self.input_hw = (image_size, image_size)
        self.prompt_hw = tuple(self.sam.prompt_encoder.mask_input_size)
        if not trainable:
            self._freeze()

    def frame(self, image_hw: tuple[int, int]) -> InputFrame:
        return InputFrame(tuple(image_hw), self.input_hw, self.input_hw)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> PromptFeatures:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(self.device).float()
        pixels = F.interpolate(pixels, self.input_hw, mode='bilinear', antialias=True)
        embedding, *details = (level[0] for level in self.encode_batch(pixels))
        return PromptFeatures(self.frame(image.shape[:2]), embedding, tuple(details))

    def encode_batch(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of (B, 3, S, S) RGB in 0..255, differentiable; see :class:`UNetEncoder`."""
        return self.sam.image_encoder(self.sam.preprocess(images))


def _assemble(modeling: ModuleType, encoder: nn.Module, image_size: int, dim: int) -> nn.Module:
    """The package's SAM around another encoder of stride 8."""
    encoder.img_size = image_size
    grid = (image_size // 8, image_size // 8)
    prompts = modeling.PromptEncoder(dim, grid, (image_size, image_size), mask_in_chans=16)
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=8, mlp_dim=4 * dim)
    decoder = modeling.MaskDecoder(
        transformer_dim=dim,
        transformer=transformer,
        num_multimask_outputs=3,
        iou_head_depth=3,
        iou_head_hidden_dim=dim,
    )
    return modeling.Sam(encoder, prompts, decoder)
