"""A SAM 2 of 0.88 M parameters with random weights, for inputs of 128x128."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmrefine.models.sam2_refiner.base import build_base

SIZE = 128


def tiny_sam2(
    image_size: int = SIZE,
    target: str | None = None,
    overrides: tuple[str, ...] = (),
    checkpoint: str | None = None,
    seed: int = 0,
    **small: Any,
) -> nn.Module:
    """The model; without the package the test is skipped.

    Random object scores would leave half of the masks out of videos: their head always says that the object is there.

    Args:
        target, overrides, checkpoint: see :func:`mmrefine.models.sam2_refiner.build_base`.
        image_size, small: see :func:`mmrefine.models.sam2_refiner.small_overrides`.
    """
    pytest.importorskip('sam2')
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        base = build_base('sam2.1_hiera_t', checkpoint, {'image_size': image_size, **small}, overrides, target)
    finally:
        torch.set_rng_state(state)
    base.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(10)
    return base


def randomize_local_attention(core: nn.Module, scale: float = 0.3, seed: int = 0) -> nn.Module:
    """Give Localization Augment, which starts as a no-op, an effect."""
    generator = torch.Generator().manual_seed(seed)
    projection = core.la.attention.out_proj
    projection.weight.data = torch.randn(projection.weight.shape, generator=generator) * scale
    return core
