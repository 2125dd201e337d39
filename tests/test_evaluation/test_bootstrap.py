"""Confidence intervals of mean gains."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.evaluation import paired_bootstrap


def test_interval_of_a_normal_sample_is_that_of_its_standard_error():
    gains = np.random.default_rng(0).normal(0.1, 1.0, 400)
    low, high = paired_bootstrap(gains)
    error = gains.std() / 20
    # The ends of 2000 resamples vary by about 4 % of the standard error; three times that, and the sample's own skew.
    np.testing.assert_allclose([low, high], gains.mean() + 1.96 * error * np.array([-1, 1]), atol=0.15 * error)


def test_equal_gains_leave_no_doubt():
    assert paired_bootstrap([0.25] * 8) == (0.25, 0.25)


def test_less_confidence_gives_a_narrower_interval_and_a_seed_the_same():
    gains = np.random.default_rng(1).random(50)
    wide, narrow = paired_bootstrap(gains, 0.99), paired_bootstrap(gains, 0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert wide == paired_bootstrap(gains, 0.99) != paired_bootstrap(gains, 0.99, seed=1)


def test_masks_of_an_image_are_drawn_together():
    """Ten copies of every mask in one image are no more evidence than one; the mean is over masks all the same."""
    gains = np.random.default_rng(2).normal(0.1, 1.0, 60)
    copies, images = np.repeat(gains, 10), np.repeat(np.arange(100, 160), 10)
    np.testing.assert_allclose(paired_bootstrap(copies, images=images), paired_bootstrap(gains))
    low, high = paired_bootstrap([0.0, 0.0, 0.0, 1.0], images=['a', 'a', 'a', 'b'])
    assert (low, high) == (0.0, 1.0)
    with pytest.raises(ValueError, match='each of the 4 gains, got 1'):
        paired_bootstrap([0.1] * 4, images=['a'])


@pytest.mark.parametrize('gains', [[], [0.1, np.nan], [[0.1, 0.2]]])
def test_gains_must_be_finite_numbers(gains):
    with pytest.raises(ValueError, match='one per image'):
        paired_bootstrap(gains)


def test_confidence_must_be_a_share():
    with pytest.raises(ValueError, match='between 0 and 1, got 95'):
        paired_bootstrap([0.1], confidence=95)
