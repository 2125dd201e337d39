"""One tiny SAM 2 for all tests of this folder; nobody may change its weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mmrefine.models.sam2_refiner import SAM2Refiner
from mmrefine.structures import ObjectPrompt, RefineDataSample
from tests.helpers.tiny_sam2 import SIZE, randomize_local_attention, tiny_sam2


@pytest.fixture(scope='session')
def base() -> nn.Module:
    return tiny_sam2()


@pytest.fixture
def make_model(base) -> Callable[..., SAM2Refiner]:
    """A SAM2Refiner on the tiny SAM 2 whose modules all have an effect."""

    def make(**kwargs) -> SAM2Refiner:
        torch.manual_seed(0)
        model = SAM2Refiner(base, loss={'type': 'PointSampledMaskLoss', 'num_points': 128}, **kwargs)
        if model.core.la is not None:
            randomize_local_attention(model.core)
        return model.eval()

    return make


@pytest.fixture
def model(make_model) -> SAM2Refiner:
    return make_model()


@pytest.fixture(scope='session')
def images() -> torch.Tensor:
    """Four normalized images."""
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def prompts() -> list[ObjectPrompt]:
    """One of every kind; no two adjacent ones go through the decoder together."""
    mask = torch.randn(1, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(1)) * 5
    return [
        ObjectPrompt.of([[40, 50], [90, 20]], [1, 0]),
        ObjectPrompt.of([[30, 40]], [1]),
        ObjectPrompt.of(box=[10, 20, 60, 90]),
        ObjectPrompt.of(mask_input=mask),
    ]


@pytest.fixture
def samples(prompts) -> list[RefineDataSample]:
    """Prompted samples with a square as the ground truth."""
    samples = []
    for seed, prompt in enumerate(prompts):
        sample = RefineDataSample(metainfo={'seed': seed, 'ori_shape': (60, 90)})
        sample.prompt = prompt
        sample.gt_masks = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
        sample.gt_masks[:, 30:90, 20:70] = 1
        samples.append(sample)
    return samples
