"""Prompts of a batch. Legend: B objects, P points, S side of the images; points are (x, y) pixels.

All objects of a batch have as many points: SAM 2's attention has no mask, so padding would change its answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmrefine.core.prompt_sampling import noisy_box, random_points

POINT_COUNTS = (1, 2, 3, 5)
_CORNER_LABELS = (2, 3)


def box_prompts(masks: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Noisy boxes of (B, S, S) bool masks: points (B, 2, 2) float32 and labels (B, 2) int32."""
    labels = np.array(_CORNER_LABELS, np.int32)
    return stack_prompts([(noisy_box(mask, rng).reshape(2, 2), labels) for mask in masks])


def point_prompts(masks: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Points on and beside (B, S, S) bool masks: (B, P, 2) float32 and labels (B, P) int32, P one of a few numbers."""
    count = int(rng.choice(POINT_COUNTS))
    return stack_prompts([random_points(mask, rng, (count, count)) for mask in masks])


def stack_prompts(prompts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """B prompts of equally many points as tensors."""
    points, labels = (torch.from_numpy(np.stack(part)) for part in zip(*prompts, strict=True))
    return points, labels
