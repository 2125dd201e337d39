"""Disk cache of SAM2Refiner's frozen features, for training that repeats the same images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends import FeatureCache, PromptFeatures
from mmrefine.models.sam2_refiner.base import SAM2Features, encode_images
from mmrefine.models.state_dicts import weights_digest


class CachedEncoder:
    """:func:`~mmrefine.models.sam2_refiner.encode_images` with a :class:`~mmrefine.models.backends.FeatureCache`.

    The key of an entry are the normalized image, the weights of the base and ``tile_scale``. Features are rounded to
    half precision whether or not they come from the cache, so that results do not depend on it.

    Args:
        base: the frozen SAM 2.
        cache: keyword arguments of the cache.
    """

    def __init__(self, base: nn.Module, **cache: Any):
        self.cache = FeatureCache(**cache)
        self.encoder = _ImageEncoder(base)

    def __call__(self, images: Tensor, tile_scale: float = 1.0, tile_chunk: int = 4) -> SAM2Features:
        """Features of (B, 3, S, S) normalized images, which are encoded one by one."""
        self.encoder.tile_scale, self.encoder.tile_chunk = tile_scale, tile_chunk
        arrays = images.permute(0, 2, 3, 1).float().cpu().numpy()
        found = [self.cache.encode(self.encoder, array) for array in arrays]
        embedding = torch.stack([features.embedding for features in found])
        return SAM2Features.of_maps(embedding, [features.extras for features in found], images)


class _ImageEncoder:
    """Backend that encodes one normalized image (S, S, 3) for the cache."""

    def __init__(self, base: nn.Module):
        self.base = base
        self.tile_scale, self.tile_chunk = 1.0, 4

    @property
    def device(self) -> torch.device:
        return self.base.device

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.base.parameters()

    def frame(self, image_hw: tuple[int, int]) -> InputFrame:
        return InputFrame(image_hw, image_hw, image_hw)

    def settings(self) -> str:
        return str(self.tile_scale)

    def fingerprint(self) -> str:
        return f'{weights_digest(self.base.state_dict())} {self.settings()}'

    def encode(self, image: np.ndarray) -> PromptFeatures:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(self.device)
        features = encode_images(self.base, pixels, self.tile_scale, self.tile_chunk)
        return PromptFeatures(self.frame(image.shape[:2]), features.embedding[0], features.maps_of(0))
