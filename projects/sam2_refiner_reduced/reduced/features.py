"""What the frozen base sees in a pool, computed once: training a refiner then costs no encoder pass.

Legend: N images of the pool, B of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmrefine.files.atomic import whole_file
from mmrefine.models.sam2_refiner import SAM2Features
from mmrefine.models.sam2_refiner.base import encode_images

from .pool import Pool
from .training import normalize

_BATCH = 16


@dataclass(frozen=True)
class CachedFeatures:
    """Features of a pool in half precision, by the names of the file's arrays; the images stay in the pool."""

    pool: Pool
    arrays: dict[str, Tensor]

    def take(self, chosen: np.ndarray) -> SAM2Features:
        """Features (B, ...) float32 of the images with these indices (B,)."""
        index = torch.from_numpy(chosen)
        arrays = {name: array[index].float() for name, array in self.arrays.items()}
        return SAM2Features(
            embedding=arrays['embedding'],
            fine=tuple(arrays[name] for name in ('fine0', 'fine1')),
            stages=tuple(arrays[name] for name in ('stage0', 'stage1', 'stage2')),
            image=normalize(self.pool.images[chosen]),
            local=arrays.get('local'),
        )


def load_features(base: nn.Module, pool: Pool, path: Path, tile_scale: float = 1.0) -> CachedFeatures:
    """Read the features of a pool, quadrants included; they are computed first if the file is not there.

    Args:
        base: frozen and in evaluation mode.
        path: ``.npz`` file; about 0.15 MB per image of 128 pixels.
        tile_scale: of the quadrants; 0 leaves them out.
    """
    if not path.is_file():
        starts = range(0, len(pool), _BATCH)
        parts = [_encode(base, pool.images[start : start + _BATCH], tile_scale) for start in starts]
        with whole_file(path, 'wb') as file:
            np.savez(file, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    with np.load(path) as arrays:
        return CachedFeatures(pool, {name: torch.from_numpy(arrays[name]) for name in arrays.files})


def _encode(base: nn.Module, images: np.ndarray, tile_scale: float) -> dict[str, np.ndarray]:
    features = encode_images(base, normalize(images), tile_scale, tile_chunk=4 * _BATCH)
    tensors = {'embedding': features.embedding}
    if features.local is not None:
        tensors['local'] = features.local
    tensors |= {f'fine{k}': level for k, level in enumerate(features.fine)}
    tensors |= {f'stage{k}': stage for k, stage in enumerate(features.stages)}
    return {name: tensor.half().numpy() for name, tensor in tensors.items()}
