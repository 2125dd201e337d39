"""The colour cue where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.colour_cue import colour_cue


def two_colours(size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A red square on blue, and its mask."""
    gt = np.zeros((size, size), bool)
    gt[8:24, 8:24] = True
    return np.where(gt[..., None], (220, 30, 30), (30, 30, 220)).astype(np.uint8), gt


@pytest.mark.parametrize('settings', [{}, {'bins': 8, 'cells': 4}])
def test_cue_contradicts_a_mask_that_misses_its_colours(settings):
    image, gt = two_colours()
    coarse = gt.copy()
    coarse[8:14] = False
    coarse[24:28, 8:24] = True
    cue = colour_cue(image, coarse, **settings)
    assert cue.dtype == np.float32 and cue.shape == gt.shape and np.abs(cue).max() <= 1
    if not settings:
        # One global model: exactly the sign of the ground truth.
        np.testing.assert_array_equal(cue > 0, gt)
    assert cue[gt].mean() > 0.1 > -0.1 > cue[~gt].mean()


def test_one_colour_says_nothing():
    image = np.full((20, 20, 3), 90, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    np.testing.assert_allclose(colour_cue(image, mask), 0, atol=1e-3)


def test_position_makes_colours_local():
    """Left: red is the object. Right: red is the ground. A global model cannot tell, a local one can."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[...] = (30, 30, 220)
    mask = np.zeros((32, 64), bool)
    image[8:24, 4:20] = (220, 30, 30)
    mask[8:24, 4:20] = True
    image[:, 32:] = (220, 30, 30)
    local = colour_cue(image, mask, bins=8, cells=8)
    assert local[12:20, 8:16].mean() > 0.5 and local[12:20, 48:].mean() < -0.05


def test_degenerate_masks_do_not_break():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    for mask in (np.zeros((9, 7), bool), np.ones((9, 7), bool)):
        assert np.isfinite(colour_cue(image, mask)).all()
        assert np.isfinite(colour_cue(image, mask, bins=4, cells=3)).all()
