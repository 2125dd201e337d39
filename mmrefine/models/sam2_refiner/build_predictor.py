"""Builds the video predictor of a SAM2Refiner config."""

from __future__ import annotations

import os
from typing import Any

import torch

from mmrefine.models.model_zoo import load_config, load_weights, pick_device
from mmrefine.models.sam2_refiner.sam2_refiner import SAM2Refiner
from mmrefine.models.sam2_refiner.video_predictor import SAM2RefinerVideoPredictor
from mmrefine.registry import MODELS

_TARGET = 'mmrefine.models.sam2_refiner.video_predictor.SAM2RefinerVideoPredictor'


def build_video_predictor(
    model: str | os.PathLike | dict,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    refine: bool = True,
    tile_scale: float | None = None,
    **options: Any,
) -> SAM2RefinerVideoPredictor:
    """Build the video predictor of a SAM2Refiner and load its weights.

    Args:
        model: config of a :class:`~mmrefine.models.sam2_refiner.SAM2Refiner`; its ``base`` names the weights of SAM 2.
        checkpoint: weights of the trained part; None: the config's ``load_from``, if any.
        device: such as ``'cpu'`` or ``'cuda:1'``; None: a GPU if there is one.
        refine: False builds SAM 2 without the trained part.
        tile_scale: overrides that of the config; 0.5 encodes the quadrants at half size, 0 skips them.
        options: options of :class:`SAM2RefinerVideoPredictor`, such as ``prompt_reuse='pr_gated'``.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        ValueError: the config is not of a SAM2Refiner, the weights are of another model, or options are wrong.

    Example:
        >>> from mmrefine.utils import find_config
        >>> predictor = build_video_predictor(find_config('sam2_refiner/sam2-refiner_tiny_folder'), device='cpu')
        >>> type(predictor).__name__
        'SAM2RefinerVideoPredictor'
    """
    config, default_checkpoint = load_config(model)
    described = dict(config['model'])
    base = described.get('base')
    if described.get('type') not in ('SAM2Refiner', 'mmrefine.SAM2Refiner') or not isinstance(base, dict):
        raise ValueError(
            f'the config must describe a SAM2Refiner with a base as a dict, got the type {described.get("type")!r}.'
        )
    overrides = [*base.get('overrides', ()), *(f'++model.{name}={value}' for name, value in options.items())]
    described['base'] = {**base, 'target': _TARGET, 'overrides': overrides}
    built: SAM2Refiner = MODELS.build(described)
    checkpoint = checkpoint if checkpoint is not None else default_checkpoint
    if checkpoint is not None and refine:
        load_weights(built, checkpoint)
    built.to(pick_device(device)).eval()
    tile_scale = built.tile_scale if tile_scale is None else tile_scale
    return built.base.attach_core(built.core if refine else None, tile_scale, built.tile_chunk)
