"""Quality estimates of masks from predicted probabilities. Legend: H, W in pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def expected_iou(masks: Tensor, probabilities: Tensor) -> Tensor:
    """Expected IoU of masks with the ground truth, given pixel probabilities; 0 where both are empty.

    Approximated as the ratio of the expected intersection and the expected union.

    Args:
        masks: (..., H, W) bool.
        probabilities: (..., H, W), in [0, 1].

    Returns:
        (...), in [0, 1].
    """
    overlap = (probabilities * masks).sum((-2, -1))
    union = masks.sum((-2, -1)) + (probabilities * ~masks).sum((-2, -1))
    return overlap / union.clamp(min=1e-12)


def boundary_sharpness(probabilities: Tensor) -> Tensor:
    """Mean confidence ``|2p - 1|`` of probabilities along the boundary of their mask (threshold 0.5).

    Args:
        probabilities: (B, H, W), in [0, 1].

    Returns:
        (B,), in [0, 1]: the mean over the pixels on both sides of the boundary; 1 where there is no boundary.
    """
    mask = (probabilities >= 0.5).to(probabilities.dtype)
    on_boundary = F.max_pool2d(mask, 3, 1, 1) != -F.max_pool2d(-mask, 3, 1, 1)
    count = on_boundary.sum((-2, -1))
    total = ((2 * probabilities - 1).abs() * on_boundary).sum((-2, -1))
    return (total / count.clamp(min=1)).where(count > 0, 1)


def mask_stability(first: Tensor, last: Tensor) -> Tensor:
    """IoU of the masks of two probability maps (threshold 0.5); 1 where both are empty.

    Args:
        first, last: (B, H, W) probabilities.

    Returns:
        (B,), in [0, 1].
    """
    before, after = first >= 0.5, last >= 0.5
    union = (before | after).sum((-2, -1))
    return ((before & after).sum((-2, -1)) / union.clamp(min=1)).where(union > 0, 1)
