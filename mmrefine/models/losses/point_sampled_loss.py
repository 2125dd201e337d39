"""Mask losses on importance-sampled points (PointRend, CVPR 2020), as in the training of HQ-SAM.

Legend: B masks, N points of a mask, h and w of the prediction, H and W of the ground truth. Points are (x, y) relative
to the size, in [0, 1], so that prediction and ground truth may differ in size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.registry import MODELS


def sample_at(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples (B, N) of (B, 1, h, w) maps at points (B, N, 2).

    Maps are padded with 0, so that samples fade within half a pixel of the border, as in the training of HQ-SAM.
    """
    grid = 2 * points[:, :, None] - 1
    return F.grid_sample(maps, grid, mode='bilinear', align_corners=False)[:, 0, :, 0]


@torch.no_grad()
def uncertain_points(
    logits: Tensor,
    num_points: int,
    oversample_ratio: float,
    importance_sample_ratio: float,
    generators: Sequence[torch.Generator] | None = None,
) -> Tensor:
    """PointRend's importance sampling: random points, a fraction of which are the most uncertain (logit nearest to 0).

    Args:
        logits: (B, 1, h, w).
        num_points: number N of points.
        oversample_ratio: number of candidates divided by N.
        importance_sample_ratio: fraction of the N points that are the most uncertain candidates; the others are random.
        generators: a CPU generator for each mask, so that its points do not depend on the rest of the batch.

    Returns:
        (B, N, 2).
    """
    chosen = int(importance_sample_ratio * num_points)
    shape = int(oversample_ratio * num_points) + num_points - chosen, 2
    generators = [None] * len(logits) if generators is None else generators
    points = torch.stack([torch.rand(shape, generator=generator) for generator in generators]).to(logits.device)
    candidates, others = points[:, : -(num_points - chosen) or None], points[:, int(oversample_ratio * num_points) :]
    doubtful = sample_at(logits, candidates).abs().topk(chosen, dim=1, largest=False).indices
    return torch.cat([candidates.take_along_dim(doubtful[..., None], dim=1), others], dim=1)


def bce_and_dice(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy, and 1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1), of (B, N) samples; means over B."""
    bce = F.binary_cross_entropy_with_logits(logits, labels)
    probabilities = logits.sigmoid()
    overlap = (probabilities * labels).sum(dim=1)
    dice = 1 - (2 * overlap + 1) / (probabilities.sum(dim=1) + labels.sum(dim=1) + 1)
    return bce, dice.mean()


@MODELS.register_module()
class PointSampledMaskLoss(nn.Module):
    """Binary cross-entropy and dice loss, on sampled points or on all pixels.

    Args:
        num_points: number N of points; 12,544 in HQ-SAM, for inputs of 1024 px.
        oversample_ratio, importance_sample_ratio: see :func:`uncertain_points`.
        mode: 'points', or 'full' for all pixels of the ground truth.
        bce_weight, dice_weight: weights of the two losses.

    Raises:
        ValueError: an unknown mode, or a number out of range.
    """

    def __init__(
        self,
        num_points: int = 112 * 112,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
        mode: str = 'points',
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
    ):
        super().__init__()
        if mode not in ('points', 'full'):
            raise ValueError(f"mode must be 'points' or 'full', got {mode!r}.")
        if num_points < 1 or oversample_ratio < 1 or not 0 <= importance_sample_ratio <= 1:
            raise ValueError(
                'num_points and oversample_ratio must be at least 1 and importance_sample_ratio in [0, 1], got '
                f'{num_points}, {oversample_ratio} and {importance_sample_ratio}.'
            )
        self.num_points, self.oversample_ratio, self.importance_sample_ratio, self.mode = (
            num_points,
            oversample_ratio,
            importance_sample_ratio,
            mode,
        )
        self.bce_weight, self.dice_weight = bce_weight, dice_weight

    def forward(
        self, logits: Tensor, target: Tensor, generators: Sequence[torch.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            logits: (B, 1, h, w).
            target: (B, 1, H, W), 0 and 1.
            generators: see :func:`uncertain_points`.

        Returns:
            ``bce`` and ``dice``.
        """
        logits, target = logits.float(), target.float()
        if self.mode == 'full':
            whole = F.interpolate(logits, target.shape[-2:], mode='bilinear', align_corners=False)
            bce, dice = bce_and_dice(whole.flatten(1), target.flatten(1))
        else:
            points = uncertain_points(
                logits, self.num_points, self.oversample_ratio, self.importance_sample_ratio, generators
            )
            bce, dice = bce_and_dice(sample_at(logits, points), sample_at(target, points))
        return {'bce': self.bce_weight * bce, 'dice': self.dice_weight * dice}
