"""Losses on sampled points, against their formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.models.losses import PointSampledMaskLoss
from mmrefine.models.losses.point_sampled_loss import bce_and_dice, sample_at, uncertain_points


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 3


@pytest.fixture
def target() -> torch.Tensor:
    return (torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1)) > 0.5).float()


def bilinear(picture: np.ndarray, x: float, y: float) -> float:
    """Value at (x, y) in [0, 1] of a picture whose pixels are samples at their centres; 0 beyond it."""
    padded = np.pad(picture, 1)
    column, row = x * picture.shape[1] + 0.5, y * picture.shape[0] + 0.5
    j, i = int(np.floor(column)), int(np.floor(row))
    right, below = column - j, row - i
    rows = padded[i : i + 2, j : j + 2]
    return float(np.array([1 - below, below]) @ rows @ np.array([1 - right, right]))


def test_loss_at_fixed_points_is_the_formula(logits, target):
    points = np.random.default_rng(0).uniform(0, 1, (3, 20, 2)).astype(np.float32)
    bce, dice = bce_and_dice(*(sample_at(maps, torch.from_numpy(points)) for maps in (logits, target)))
    expected_bce = expected_dice = 0.0
    for k in range(3):
        x, y = (
            np.array([bilinear(maps[k, 0].numpy().astype(np.float64), *point) for point in points[k]])
            for maps in (logits, target)
        )
        p = 1 / (1 + np.exp(-x))
        expected_bce += np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p))) / 3
        expected_dice += (1 - (2 * np.sum(p * y) + 1) / (np.sum(p) + np.sum(y) + 1)) / 3
    # float32 against float64
    assert float(bce) == pytest.approx(expected_bce, rel=1e-4)
    assert float(dice) == pytest.approx(expected_dice, rel=1e-4)


def test_points_are_the_doubtful_ones_and_some_at_random():
    logits = torch.full((1, 1, 16, 16), 9.0)
    logits[..., 8] = 0.0  # in doubt is the strip around the column
    generator = torch.Generator().manual_seed(0)
    points = uncertain_points(logits, 200, oversample_ratio=10.0, importance_sample_ratio=0.75, generators=[generator])
    assert points.shape == (1, 200, 2) and (points >= 0).all() and (points <= 1).all()
    doubtful, others = points[0, :150], points[0, 150:]
    # Besides the strip, samples fall to 0 within half a pixel of the border: that is beyond the outermost centres.
    strip = (doubtful[:, 0] - 8.5 / 16).abs() < 1 / 16
    border = (doubtful - 0.5).abs().amax(dim=1) > 0.5 - 0.5 / 16
    assert (strip | border).all() and strip.sum() > 20
    assert np.ptp(others[:, 0].numpy()) > 0.9


@pytest.mark.parametrize(('oversample_ratio', 'importance_sample_ratio'), [(1.0, 1.0), (3.0, 0.0), (2.5, 0.5)])
def test_number_of_points(logits, oversample_ratio, importance_sample_ratio):
    assert uncertain_points(logits, 11, oversample_ratio, importance_sample_ratio).shape == (3, 11, 2)


def test_draws_of_a_mask_do_not_depend_on_the_batch(logits):
    def draw(masks):
        return uncertain_points(masks, 16, 3.0, 0.75, [torch.Generator().manual_seed(k) for k in range(len(masks))])

    assert torch.equal(draw(logits)[:1], draw(logits[:1]))


def test_full_mode_and_factors(logits, target):
    losses = PointSampledMaskLoss(mode='full')(logits, target)
    whole = torch.nn.functional.interpolate(logits, (32, 32), mode='bilinear')
    torch.testing.assert_close(losses['bce'], torch.nn.functional.binary_cross_entropy_with_logits(whole, target))
    doubled = PointSampledMaskLoss(mode='full', bce_weight=2.0, dice_weight=0.0)(logits, target)
    assert doubled['bce'] == 2 * losses['bce'] and doubled['dice'] == 0


def test_a_perfect_mask_costs_little_and_gradients_point_to_it():
    target = torch.zeros(3, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    loss = PointSampledMaskLoss(num_points=256)
    good, bad = ((2 * target - 1) * sign * 20 for sign in (1, -1))
    generators = [torch.Generator().manual_seed(k) for k in range(3)]
    assert sum(loss(good, target, generators).values()) < 1 < sum(loss(bad, target, generators).values())
    half = torch.zeros_like(target, requires_grad=True)
    sum(PointSampledMaskLoss(mode='full')(half, target).values()).backward()
    assert torch.equal(half.grad < 0, target > 0)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="mode must be 'points' or 'full'"):
        PointSampledMaskLoss(mode='half')
    with pytest.raises(ValueError, match='num_points'):
        PointSampledMaskLoss(num_points=0)
