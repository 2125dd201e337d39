"""The U-Net against the released code's outputs and the published checkpoints' layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mmrefine.models.denoisers import DenoiseUNet
from mmrefine.registry import MODELS
from tests.helpers.reference import DATA, LOGITS_ATOL, TINY_UNET, fill_by_name, floats, load, tiny_weights


def test_trained_tiny_network_gives_the_released_logits():
    expected = load('D_unet_tiny_forward_s0')
    network = MODELS.build(TINY_UNET).eval()
    network.load_state_dict(tiny_weights())
    with torch.no_grad():
        logits = network(floats(expected['x']), torch.from_numpy(expected['t']))
    np.testing.assert_allclose(logits, expected['out'], rtol=0, atol=LOGITS_ATOL)


@pytest.mark.parametrize(
    ('name', 'settings'),
    [
        ('D_unet_topo32_forward_s0', {'type': 'DenoiseUNet', 'model_channels': 32}),
        pytest.param('D_unet_real_forward_s0', {'type': 'DenoiseUNet'}, id='published size'),
    ],
)
def test_networks_filled_by_name_give_the_released_logits(name, settings):
    expected = load(name)
    network = MODELS.build(settings).eval()
    fill_by_name(network, int(expected['seed']))
    with torch.no_grad():
        logits = network(floats(expected['x']), torch.from_numpy(expected['t']))
    np.testing.assert_allclose(logits, expected['out'], rtol=0, atol=LOGITS_ATOL)


def test_layout_is_that_of_the_published_checkpoints():
    with open(DATA / 'D_unet_real_state_dict.json') as file:
        published = json.load(file)
    with torch.device('meta'):
        network = DenoiseUNet()
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == published['keys']
    assert sum(parameter.numel() for parameter in network.parameters()) == published['num_parameters'] == 118_604_673


def test_patches_keep_the_resolution():
    network = DenoiseUNet(in_channels=6, model_channels=32, channel_mult=(1, 2), num_res_blocks=1, patch_size=2)
    assert network.stride == 4
    assert network(torch.rand(2, 6, 24, 32), torch.tensor([0, 5])).shape == (2, 1, 24, 32)


def test_wrong_input_is_named():
    network = DenoiseUNet(model_channels=32, channel_mult=(1, 1), num_res_blocks=1)
    with pytest.raises(ValueError, match=r'expects \(B, 4, h, w\) with h and w multiples of 2, got \(1, 3, 8, 8\)'):
        network(torch.rand(1, 3, 8, 8), torch.tensor([0]))
