"""Checkpoints of the papers' authors load as they are."""

from __future__ import annotations

import pytest
import torch

from mmrefine.apis import build_refiner
from mmrefine.core.diffusion import DiffusionSchedule
from tests.helpers.reference import TINY_UNET, tiny_weights

CONFIG = {'type': 'SegRefiner', 'denoiser': TINY_UNET, 'input_size': 64}


@pytest.fixture
def published(tmp_path):
    """The layout of the released files: a detector's arrays under ``denoise_model.``, its loss's kernels, metadata."""
    weights = {f'denoise_model.{name}': value for name, value in tiny_weights().items()}
    kernels = {f'loss_texture.sobel.conv_{axis}.weight': torch.zeros(1, 1, 3, 3) for axis in 'xy'}
    path = tmp_path / 'segrefiner_lr.pth'
    torch.save({'meta': {'iter': 120000, 'time': 'then'}, 'state_dict': {**weights, **kernels}}, path)
    return path


@pytest.mark.parametrize('name', ['SegRefiner', 'SegRefinerHR'])
def test_released_layout_loads(published, name):
    refiner = build_refiner({**CONFIG, 'type': name}, published, device='cpu')
    for key, value in tiny_weights().items():
        torch.testing.assert_close(refiner.state_dict()[f'denoise_model.{key}'], value)
    assert refiner.schedule == DiffusionSchedule()


def test_other_arrays_are_still_refused(published):
    content = torch.load(published, weights_only=True)
    content['state_dict']['backbone.conv1.weight'] = torch.zeros(1)
    torch.save(content, published)
    with pytest.raises(ValueError, match=r'does not match .* 1 unexpected \(backbone.conv1.weight\)'):
        build_refiner(CONFIG, published, device='cpu')
