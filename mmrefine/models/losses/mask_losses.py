"""The two losses of SegRefiner (NeurIPS 2023, section 3.3). Legend: B masks, h and w in pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrefine.registry import MODELS

_SOBEL_X = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


@MODELS.register_module()
class MaskBCELoss(nn.Module):
    """Binary cross-entropy of logits and masks, (B, 1, h, w), mean over pixels, times ``loss_weight``."""

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def sobel_magnitude(masks: Tensor) -> Tensor:
    """Gradient magnitude of (B, 1, h, w) masks after a 3x3 mean, kernels divided by 4, sqrt(gx^2 + gy^2 + 1e-4).

    Example:
        >>> import torch
        >>> edge = sobel_magnitude(torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4))
        >>> edge.shape, bool(edge[0, 0, 1, 1] > 0.1)
        (torch.Size([1, 1, 4, 4]), True)
    """
    smooth = F.avg_pool2d(masks, 3, stride=1, padding=1)
    kernel_x = torch.tensor(_SOBEL_X, dtype=masks.dtype, device=masks.device) / 4
    kernels = torch.stack([kernel_x, kernel_x.T])[:, None]
    gradient = F.conv2d(smooth, kernels, padding=1)
    return (gradient.square().sum(dim=1, keepdim=True) + 1e-4).sqrt()


@MODELS.register_module()
class TextureL1Loss(nn.Module):
    """L1 between the Sobel magnitudes of probabilities and ground truth, mean over pixels, times ``loss_weight``."""

    def __init__(self, loss_weight: float = 5.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        difference = sobel_magnitude(logits.sigmoid()) - sobel_magnitude(target.to(logits.dtype))
        return self.loss_weight * difference.abs().mean()
