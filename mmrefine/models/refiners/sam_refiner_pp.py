"""SAMRefiner++: adaptation of the IoU head to a dataset by its coarse masks (ICLR 2025, section 3.4).

Legend: N masks of one image, M outputs of the backend per prompt, R the rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.core.prompts import distance_fields, tight_box
from mmrefine.models.backends import PromptFeatures
from mmrefine.models.refiners.sam_refiner import SAMRefiner
from mmrefine.registry import MODELS
from mmrefine.structures import RefineDataSample


class LowRankUpdate(nn.Module):
    """LoRA update of a linear layer: alpha / R times B A x, with B initialized to zero."""

    def __init__(self, in_features: int, out_features: int, rank: int, alpha: float):
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, in_features))
        self.up = nn.Parameter(torch.zeros(out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down), self.up) * self.scale


class AdaptedLinear(nn.Module):
    """Frozen linear layer with a trained low-rank update."""

    def __init__(self, linear: nn.Linear, update: LowRankUpdate):
        super().__init__()
        self.linear, self.update = linear, update

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.update(x)


@MODELS.register_module()
class SAMRefinerPP(SAMRefiner):
    """SAMRefiner with an adapted IoU head, which selects among the outputs.

    Only a low-rank update of the last layer of the IoU head is trained. Its target needs no annotations: among the
    outputs for the box of a coarse mask, the one with the highest IoU with that mask should rank first. State dicts
    contain only the update.

    Args:
        rank, alpha: rank and scale of the update; 4 and 1 in the paper, which gives 1,040 parameters for SAM.
        loss: config of the loss on predicted IoU and IoU with the coarse mask, both (N, M).
        kwargs: arguments of :class:`SAMRefiner`.
    """

    def __init__(self, *args: Any, rank: int = 4, alpha: float = 1.0, loss: dict | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        layers = self.backend.iou_head.layers
        self.adaption = LowRankUpdate(layers[-1].in_features, layers[-1].out_features, rank, alpha)
        layers[-1] = AdaptedLinear(layers[-1], self.adaption)
        self.ranking_loss = MODELS.build(loss or {'type': 'IoURankingLoss'})
        self.register_state_dict_post_hook(_keep_trained)
        self.register_load_state_dict_post_hook(_miss_trained_only)

    @classmethod
    def config_for_checkpoint(cls, config: dict) -> dict:
        """The config itself, because a checkpoint contains only the update and the backend needs its own."""
        return config

    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[RefineDataSample], mode: str = 'loss'
    ) -> dict[str, Tensor] | list[RefineDataSample]:
        """mmengine's modes 'loss' and 'predict'.

        Args:
            inputs: (3, H, W) uint8 RGB tensor for each image.
            data_samples: samples with ``coarse_masks`` (N, H, W); empty masks are skipped.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode != 'loss':
            raise ValueError(f"mode must be 'loss' or 'predict', got {mode!r}.")
        pairs = [self._ranks(*pair) for pair in zip(inputs, data_samples, strict=True)]
        predicted, quality = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        if not len(predicted):
            return {'loss_rank': 0 * sum(parameter.sum() for parameter in self.adaption.parameters())}
        hit = predicted.argmax(dim=1) == quality.argmax(dim=1)
        return {'loss_rank': self.ranking_loss(predicted, quality), 'top1': hit.float().mean()}

    def _ranks(self, image: Tensor, sample: RefineDataSample) -> tuple[Tensor, Tensor]:
        """Predicted IoU, and IoU with the coarse mask, of the outputs for the boxes of one image, (N, M) each."""
        features = self.encode(image.permute(1, 2, 0).cpu().numpy())
        masks = np.asarray(sample.coarse_masks) > 0
        masks = masks[masks.any(axis=(1, 2))]
        boxes = np.array([tight_box(mask) for mask in masks])
        size = self._chunk()
        parts = [
            self._judge(features, {'boxes': boxes[start : start + size]}, masks[start : start + size])
            for start in range(0, len(masks), size)
        ]
        if not parts:
            return self.adaption.up.new_zeros(0, 1), self.adaption.up.new_zeros(0, 1)
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    @torch.no_grad()
    def top1(self, image: np.ndarray, coarse: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """Whether the output that ranks first in the first iteration has the highest IoU with the ground truth.

        Args:
            image: (H, W, 3) uint8 RGB.
            coarse, gt: (N, H, W) bool, none of them empty.

        Returns:
            (N,) bool.
        """
        features = self.encode(image)
        hits = []
        for start in range(0, len(coarse), self._chunk()):
            chunk = slice(start, start + self._chunk())
            fields = distance_fields(coarse[chunk], self.distance, self.released_behaviour)
            predicted, quality = self._judge(features, self._prompts(features, fields), gt[chunk])
            hits.append((predicted.argmax(dim=1) == quality.argmax(dim=1)).cpu().numpy())
        return np.concatenate(hits) if hits else np.zeros(0, bool)

    def _judge(
        self, features: PromptFeatures, prompts: dict[str, np.ndarray], masks: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Predicted IoU of the outputs, and their IoU with (n, H, W) masks: (n, M) each."""
        logits, predicted = self.backend.predict(features, **prompts)
        return predicted, self._output_iou(features, logits, masks)


def _keep_trained(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: dict) -> None:
    """Remove the backend from a state dict, since its weights come from its own checkpoint."""
    for part in (state, getattr(state, '_metadata', {})):
        for name in [name for name in part if name.startswith(prefix) and not name.startswith(f'{prefix}adaption')]:
            del part[name]


def _miss_trained_only(module: nn.Module, incompatible: Any) -> None:
    """Do not report keys that :func:`_keep_trained` removed as missing."""
    incompatible.missing_keys[:] = [name for name in incompatible.missing_keys if 'backend' not in name.split('.')]
