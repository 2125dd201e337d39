"""Gaussian-style mask prompts (SAMRefiner, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmrefine.core.prompts.distance import DistanceField
from mmrefine.core.prompts.frame import InputFrame


def gaussian_weights(field: DistanceField, gamma: float) -> np.ndarray:
    """Weight of every pixel of a mask: exp(-(D - D_max)^2 / (area / gamma)), 1 where the mask is deepest.

    Args:
        field: distance field of one mask.
        gamma: decay of the weights towards the contour; 0: all weights are 1.

    Returns:
        (h, w) float32 on the box of the mask, 0 outside the mask.

    Example:
        >>> import numpy as np
        >>> from mmrefine.core.prompts import distance_fields
        >>> [field] = distance_fields(np.array([[[0, 1, 1, 1, 0]]], bool))
        >>> [round(float(weight), 2) for weight in gaussian_weights(field, gamma=2.0)[0]]
        [0.51, 1.0, 0.51]
    """
    weights = np.zeros_like(field.inside)
    depth = field.inside[field.mask]
    if depth.size:
        # The variance is at least 1 px^2, as in the authors' code.
        weights[field.mask] = np.exp(-((depth - depth.max()) ** 2) * np.float32(min(gamma / depth.size, 1)))
    return weights


def mask_prompts(
    fields: Sequence[DistanceField], frame: InputFrame, grid_hw: tuple[int, int], strength: np.ndarray, gamma: float
) -> np.ndarray:
    """Mask prompts as logits on the model's prompt grid: +strength inside, -strength outside, times Gaussian weights.

    A grid cell is inside if the bilinearly resampled mask is above 0.5. Weights are resampled in the same way; cells
    to which no pixel of the mask contributes have the full negative strength.

    Args:
        fields: distance fields of N masks.
        frame: position of the image in the model's input.
        grid_hw: (h, w) of the model's mask prompts.
        strength: (N,) logit at full weight, one per mask.
        gamma: see :func:`gaussian_weights`.

    Returns:
        (N, 1, h, w) float32.

    Example:
        >>> import numpy as np
        >>> from mmrefine.core.prompts import InputFrame, distance_fields
        >>> masks = np.zeros((1, 4, 4), bool)
        >>> masks[0, :, :2] = True
        >>> frame = InputFrame((4, 4), (4, 4), (4, 4))
        >>> mask_prompts(distance_fields(masks), frame, (4, 4), np.array([15.0]), gamma=0.0)[0, 0, 0].tolist()
        [15.0, 15.0, -15.0, -15.0]
    """
    rows, columns = frame.sampling(grid_hw)
    prompts = np.empty((len(fields), 1, *grid_hw), np.float32)
    for prompt, field, logit in zip(prompts[:, 0], fields, strength, strict=True):
        window_y, window_x = field.window
        left, right = rows[:, window_y], columns[:, window_x].T
        share = left @ field.mask.astype(np.float32) @ right
        weights = left @ gaussian_weights(field, gamma) @ right
        weights[weights == 0] = 1
        prompt[:] = np.where(share > 0.5, logit, -logit) * weights
    return prompts
