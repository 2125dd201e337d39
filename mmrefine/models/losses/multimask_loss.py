"""Training a segmenter that answers every prompt with several masks. Legend: B prompts, M outputs, h, w in pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrefine.core.agreement import agreement
from mmrefine.models.losses.mask_losses import sobel_magnitude
from mmrefine.registry import MODELS


@MODELS.register_module()
class MultimaskLoss(nn.Module):
    """The output nearest to the truth is trained, and all predict how near they are (SAM, appendix A).

    Cross-entropy takes the place of SAM's focal and dice losses, so that probabilities stay honest for
    the expected IoU; texture is that of :class:`~mmrefine.models.losses.TextureL1Loss`.

    Args:
        texture_weight: of the texture of the nearest output.
        iou_weight: of the squared error of the predicted IoU, over all outputs.
        other_weight: of the other outputs' cross-entropy, so that none is left behind.
    """

    def __init__(self, texture_weight: float = 2.0, iou_weight: float = 1.0, other_weight: float = 0.1):
        super().__init__()
        self.texture_weight, self.iou_weight, self.other_weight = texture_weight, iou_weight, other_weight

    def forward(self, logits: Tensor, predicted_iou: Tensor, target: Tensor) -> dict[str, Tensor]:
        """
        Args:
            logits: (B, M, h, w).
            predicted_iou: (B, M).
            target: (B, 1, h, w), 0 or 1.

        Returns:
            ``loss_mask``, ``loss_texture``, ``loss_iou``; and ``iou``, that of the outputs predicted to be the best.
        """
        entropy = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction='none').mean((2, 3))
        nearest = entropy.argmin(dim=1, keepdim=True)
        chosen = logits.take_along_dim(nearest[:, :, None, None], dim=1)
        texture = (sobel_magnitude(chosen.sigmoid()) - sobel_magnitude(target)).abs().mean()
        with torch.no_grad():
            inside, truth = logits > 0, target > 0.5
            iou = agreement(inside, truth)
        return {
            'loss_mask': entropy.gather(1, nearest).mean() + self.other_weight * entropy.mean(),
            'loss_texture': self.texture_weight * texture,
            'loss_iou': self.iou_weight * F.mse_loss(predicted_iou, iou),
            'iou': iou.gather(1, predicted_iou.argmax(dim=1, keepdim=True)).mean(),
        }
