"""The light denoiser on an image encoder, alone and inside SegRefiner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.models.refiners import RefineInput, SegRefiner
from mmrefine.registry import MODELS
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks

WIDTHS = (32, 32, 32, 32, 64)
CUES = ({'bins': 16, 'cells': 1}, {'bins': 8, 'cells': 4})


def build(**settings) -> SegRefiner:
    pytest.importorskip('timm')
    torch.manual_seed(0)
    refiner = SegRefiner(
        **{
            'encoder': {'type': 'TimmEncoder', 'name': 'tf_efficientnet_lite0'},
            'denoiser': {'type': 'PyramidDenoiser', 'in_channels': 6, 'widths': WIDTHS},
            'input_size': 64,
            'margin_ratio': 0.2,
            'cues': CUES,
            'antialias': True,
            **settings,
        }
    )
    torch.nn.init.normal_(refiner.denoise_model.out.weight, std=0.1)
    for module in refiner.denoise_model.modules():
        # These start at 0, where the network does not know the timestep.
        if isinstance(module, (torch.nn.Linear, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(module.weight, mean=0.5, std=0.1)
    return refiner.eval()


class TestContract(RefinerContract):
    @pytest.fixture
    def refiner(self) -> SegRefiner:
        return build(max_batch=2)


@pytest.mark.parametrize('steps', [(5,), (5, 3, 1), None])
def test_encoder_runs_once_per_crop_and_the_decoder_once_per_step(steps):
    refiner = build(steps=steps)
    calls = {'image_encoder': 0, 'denoise_model': 0}

    def count(name: str) -> None:
        getattr(refiner, name).register_forward_hook(lambda *_: calls.update({name: calls[name] + 1}))

    count('image_encoder')
    count('denoise_model')
    refiner.refine_batch([RefineInput(photograph(), rough_masks())])
    assert calls == {'image_encoder': 1, 'denoise_model': 6 if steps is None else len(steps)}


def test_image_reaches_the_logits_through_the_features_alone():
    """With the same planes, other features give other logits."""
    refiner = build()
    images, coarse = torch.rand(1, 3, 64, 64) * 255, torch.zeros(1, 1, 64, 64)
    coarse[..., 16:40, 16:40] = 1
    t = torch.tensor([5])
    with torch.no_grad():
        condition = refiner.condition(images, coarse)
        other = condition._replace(features=[level + 1 for level in condition.features])
        assert not torch.allclose(refiner.denoise(condition, coarse, t), refiner.denoise(other, coarse, t))


def test_timestep_reaches_the_logits():
    refiner = build()
    images, coarse = torch.rand(1, 3, 64, 64) * 255, torch.zeros(1, 1, 64, 64)
    with torch.no_grad():
        condition = refiner.condition(images, coarse)
        first, last = (refiner.denoise(condition, coarse, torch.tensor([t])) for t in (0, 5))
    assert first.shape == (1, 1, 64, 64) and not torch.allclose(first, last)


def test_untrained_network_has_no_opinion():
    """The output convolution starts at zero, so training starts from probability 0.5 everywhere."""
    denoiser = MODELS.build(
        {'type': 'PyramidDenoiser', 'in_channels': 4, 'feature_channels': (8, 8), 'widths': (32, 32)}
    )
    levels = [torch.randn(2, 8, 16, 16), torch.randn(2, 8, 8, 8)]
    assert not denoiser(torch.randn(2, 4, 32, 32), torch.tensor([0, 5]), levels).any()


def test_learns_to_follow_the_image():
    """A few steps on one image with a bright square lower the loss by half: gradients reach encoder and decoder."""
    refiner = build(input_size=32, cues=(), denoiser={'type': 'PyramidDenoiser', 'in_channels': 4, 'widths': WIDTHS})
    refiner.train()
    target, coarse = torch.zeros(4, 1, 32, 32), torch.zeros(4, 1, 32, 32)
    target[..., 8:24, 8:24], coarse[..., 4:20, 10:28] = 1, 1
    images = 60 + 150 * target.expand(-1, 3, -1, -1)
    optimizer = torch.optim.Adam(refiner.parameters(), 3e-3)
    before = next(refiner.image_encoder.parameters()).clone()
    losses = []
    for _ in range(25):
        parts = refiner.loss(
            refiner.condition(images, coarse), coarse, target, torch.full((4,), 5), torch.rand(4, 1, 32, 32)
        )
        loss = parts['loss_mask'] + parts['loss_texture']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert not torch.equal(next(refiner.image_encoder.parameters()), before)


def test_widths_must_fit_the_encoder():
    with pytest.raises(ValueError, match='one value for each of 5 encoder levels, got 2'):
        build(denoiser={'type': 'PyramidDenoiser', 'in_channels': 6, 'widths': (32, 32)})


def test_result_does_not_depend_on_max_batch():
    results = [build(max_batch=size).refine(photograph(), rough_masks()).masks for size in (1, 3)]
    assert np.mean(results[0] != results[1]) < 1e-3


class TestContractWithWindows(RefinerContract):
    @pytest.fixture
    def refiner(self) -> SegRefiner:
        return build(max_batch=2, input_size=32, window_steps=(5, 1))


@pytest.mark.parametrize(('window_steps', 'is_exact'), [((), False), ((5,), True)])
def test_windows_see_what_the_crop_is_too_small_for(monkeypatch, window_steps, is_exact):
    """A comb of teeth 2 px wide on a network of 32 px that takes what is bright: only windows resolve the teeth."""
    refiner = build(input_size=32, window_steps=window_steps)
    monkeypatch.setattr(refiner, 'denoise', lambda condition, x_t, t: 100 * condition.planes[:, :1])
    gt = np.zeros((120, 160), bool)
    gt[30:60, 20:140] = True
    gt[60:68, 20:140] = (np.arange(120) // 2 % 2 == 0)[None]
    coarse = np.zeros_like(gt)
    coarse[30:66, 22:138] = True
    image = np.where(gt[..., None], 230, 30).astype(np.uint8).repeat(3, axis=2)
    refined = refiner.refine(image, coarse).masks[0]
    assert np.array_equal(refined, gt) == is_exact
