"""Prompts drawn from a mask."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.prompt_sampling import noisy_box, noisy_mask_logits, random_points


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:40, 20:70] = True
    return mask


def test_box_is_tight_without_noise_and_near_with_it(mask, rng):
    assert noisy_box(mask, rng, noise=0).tolist() == [20, 10, 69, 39]
    boxes = np.array([noisy_box(mask, rng, noise=0.1) for _ in range(200)])
    # Sides of 50 and 30: the centre moves by 5 and 3 at most, the size by as much, so a corner by 7.5 and 4.5.
    assert (np.abs(boxes - [20, 10, 69, 39]) <= [7.5, 4.5, 7.5, 4.5]).all()
    assert np.ptp(boxes, axis=0).min() > 4
    assert boxes.dtype == np.float32


def test_box_stays_inside(rng):
    boxes = np.array([noisy_box(np.ones((20, 30), bool), rng, noise=0.5) for _ in range(50)])
    assert (boxes >= 0).all() and (boxes <= [29, 19, 29, 19]).all()


def test_points_have_the_labels_of_their_places(mask, rng):
    counts, shares = [], []
    for _ in range(100):
        points, labels = random_points(mask, rng)
        x, y = points.astype(int).T
        assert labels[0] == 1 and (mask[y, x] == labels.astype(bool)).all()
        counts.append(len(labels))
        shares.extend(labels[1:])
    assert set(counts) == set(range(1, 11))
    assert 0.4 < np.mean(shares) < 0.6  # 450 draws of probability 0.5: four standard deviations are 0.09


def test_points_of_hq_sam_and_of_a_full_mask(mask, rng):
    assert random_points(mask, rng, (10, 10), 1.0)[1].tolist() == [1] * 10
    assert random_points(np.ones((5, 5), bool), rng, (4, 4), 0.0)[1].tolist() == [1] * 4


def test_mask_logits_differ_only_near_the_contour(rng):
    mask = np.zeros((128, 128), bool)
    mask[32:96, 32:96] = True
    logits = noisy_mask_logits(mask, rng, 32)
    assert logits.shape == (1, 32, 32) and logits.dtype == np.float32 and set(np.unique(logits)) == {-10, 10}
    exact = np.kron(logits[0] > 0, np.ones((4, 4), bool))
    assert (exact != mask).any()
    assert exact[56:72, 56:72].all() and not exact[:8].any()  # far from the contour nothing is lost by a factor of 8


def test_thin_objects_do_not_vanish(rng):
    mask = np.zeros((128, 128), bool)
    mask[64] = True
    assert (noisy_mask_logits(mask, rng, 32) > 0).any()


def test_draws_follow_from_the_generator(mask):
    draws = [
        (noisy_box(mask, rng), *random_points(mask, rng), noisy_mask_logits(mask, rng, 16))
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    ]
    for first, second in zip(*draws, strict=True):
        np.testing.assert_array_equal(first, second)


def test_empty_mask_is_refused(rng):
    with pytest.raises(ValueError, match='the mask is empty'):
        noisy_box(np.zeros((5, 5), bool), rng)
