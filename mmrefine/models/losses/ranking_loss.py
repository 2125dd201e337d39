"""Ranking loss on the predicted IoU of a promptable segmenter's outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.registry import MODELS


@MODELS.register_module()
class IoURankingLoss(nn.Module):
    """Margin ranking loss between the best output and every other output (SAMRefiner, section 3.4).

    Mean over masks of the sum over other outputs of max(0, predicted_other - predicted_best + margin).

    Args:
        margin: margin of the best output.
        loss_weight: weight of the loss.
    """

    def __init__(self, margin: float = 0.02, loss_weight: float = 1.0):
        super().__init__()
        self.margin = margin
        self.loss_weight = loss_weight

    def forward(self, predicted: Tensor, quality: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            predicted: (N, M) predicted IoU of M outputs for N masks; N and M - 1 at least 1.
            quality: (N, M) quality of the outputs, by which the best one is chosen; ties go to the first.
        """
        best = quality.argmax(dim=1, keepdim=True)
        lead = predicted.gather(1, best) - predicted
        others = torch.ones_like(predicted, dtype=torch.bool).scatter(1, best, False)
        return self.loss_weight * F.relu(self.margin - lead[others]).sum() / len(predicted)
