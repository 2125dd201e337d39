"""How good masks are by one's own probabilities. Legend: H, W in pixels."""

from __future__ import annotations

from torch import Tensor


def expected_iou(masks: Tensor, probabilities: Tensor) -> Tensor:
    """The IoU with the truth that probabilities promise for masks, 0 where neither holds anything.

    Intersection and union are replaced by their expectations, each pixel taken as independent.

    Args:
        masks: (..., H, W) bool.
        probabilities: (..., H, W), in [0, 1].

    Returns:
        (...), in [0, 1].
    """
    overlap = (probabilities * masks).sum((-2, -1))
    union = masks.sum((-2, -1)) + (probabilities * ~masks).sum((-2, -1))
    return overlap / union.clamp(min=1e-12)
