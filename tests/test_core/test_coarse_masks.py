"""Simulated coarse masks: form, seeds, strength, and the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.coarse_masks import SIMULATORS, simulate_coarse_mask


@pytest.fixture(scope='module')
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A textured ellipse with a leg on a textured ground: image (120, 160, 3), mask."""
    rng = np.random.default_rng(5)
    ys, xs = np.mgrid[:120, :160]
    mask = ((ys - 55) / 35) ** 2 + ((xs - 75) / 50) ** 2 < 1
    mask[80:110, 60:70] = True
    image = np.where(mask[..., None], (180, 120, 60), (70, 110, 140)) + rng.normal(0, 15, (120, 160, 3))
    return np.clip(image, 0, 255).astype(np.uint8), mask


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return np.count_nonzero(first & second) / np.count_nonzero(first | second)


@pytest.mark.parametrize('name', sorted(SIMULATORS))
def test_each_simulator_degrades_and_obeys_its_seed(scene, name):
    image, mask = scene
    before = mask.copy()
    results = [SIMULATORS[name](mask, np.random.default_rng(seed), image) for seed in range(20)]
    again = SIMULATORS[name](mask, np.random.default_rng(0), image)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(results[0], again)
    assert all(result.dtype == bool and result.shape == mask.shape for result in results)
    quality = [iou(result, mask) for result in results]
    # It changes something, and on average it stays a coarse mask of the same object.
    assert min(quality) < 0.999 and 0.4 < np.mean(quality) < 0.995


@pytest.mark.parametrize('name', sorted(SIMULATORS))
@pytest.mark.parametrize('kind', ['one pixel', 'full', 'thin line'])
def test_odd_masks_do_not_break(name, kind):
    mask = np.zeros((24, 31), bool)
    mask[{'one pixel': (12, 15), 'full': slice(None), 'thin line': (slice(None), 7)}[kind]] = True
    image = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    for seed in range(5):
        assert SIMULATORS[name](mask, np.random.default_rng(seed), image).shape == mask.shape


def test_mixture_keeps_to_its_range_and_spreads(scene):
    image, mask = scene
    rngs = [np.random.default_rng(seed) for seed in range(150)]
    quality = np.array([iou(simulate_coarse_mask(mask, rng, image, iou_range=(0.6, 1.0)), mask) for rng in rngs])
    assert quality.min() >= 0.6
    assert 0.72 < quality.mean() < 0.88 and quality.std() > 0.05


def test_mixture_obeys_its_seed_and_leaves_its_input_unchanged(scene):
    image, mask = scene
    before = mask.copy()
    first, second, other = (simulate_coarse_mask(mask, np.random.default_rng(seed), image) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    untouched = simulate_coarse_mask(mask, np.random.default_rng(0), image, iou_range=(1.0, 1.0))
    untouched[:] = False
    np.testing.assert_array_equal(mask, before)


def test_empty_mask_stays_empty():
    empty = np.zeros((8, 8), bool)
    assert not simulate_coarse_mask(empty, np.random.default_rng(0)).any()


def test_unknown_simulator_is_named(scene):
    with pytest.raises(ValueError, match=r"unknown simulators \['blur'\]; expected some of"):
        simulate_coarse_mask(scene[1], np.random.default_rng(0), simulators=['blur'])
