"""Numbers of the papers' released code, and small networks with known weights."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parents[1] / 'data'
# Other kernels and libraries move the released code's own outputs by 2.1e-5 (logits), 3.5e-6 (probabilities) and 2e-9
# (losses), and flip no pixel of a mask: see the tolerances that follow from it.
LOGITS_ATOL, PROBABILITIES_ATOL, LOSS_ATOL, FLIPPED_SHARE = 1e-4, 1e-5, 1e-5, 2e-4

TINY_UNET = {
    'type': 'DenoiseUNet',
    'model_channels': 32,
    'num_res_blocks': 1,
    'channel_mult': (1, 1, 1),
    'attention_strides': (4,),
}


def load(name: str) -> dict[str, np.ndarray]:
    """Arrays of tests/data/<name>.npz."""
    with np.load(DATA / f'{name}.npz') as arrays:
        return dict(arrays)


def floats(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


def uniform(noise: np.ndarray) -> torch.Tensor:
    """Recorded draws of U(0, 1): the bytes stand for the middles of 256 bins."""
    return (floats(noise) + 0.5) / 256


def tiny_weights() -> dict[str, torch.Tensor]:
    """The reference's trained weights of ``TINY_UNET``."""
    return {key[2:]: floats(value) for key, value in load('D_unet_tiny_weights_s0').items() if key.startswith('w/')}


def fill_by_name(module: torch.nn.Module, seed: int) -> None:
    """Weights that follow from parameter names, as the reference's README defines them."""
    for name, parameter in module.named_parameters():
        random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
        values = random.random_sample(tuple(parameter.shape)) * 2 - 1
        if parameter.ndim >= 2:
            gain = 4.0 if name.startswith('out.2') else 1.0
            values = values * gain * np.sqrt(3.0 / np.prod(parameter.shape[1:]))
        else:
            values = 1 + 0.2 * values if name.endswith('weight') else 0.1 * values
        parameter.data = floats(values)
