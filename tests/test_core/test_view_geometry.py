"""Masks between views: exact where exactness is possible."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.view_geometry import view_to_view, warp_masks

FLIP_X = np.array([[-1.0, 0, 13], [0, 1, 0], [0, 0, 1]])  # of an image 13 px wide
DOUBLE = np.diag([2.0, 2.0, 1.0])


@pytest.fixture
def masks(rng) -> np.ndarray:
    """Every pixel counts: noise."""
    return rng.random((3, 11, 13)) < 0.5


def test_flip_is_exact(masks):
    np.testing.assert_array_equal(warp_masks(masks, FLIP_X, (11, 13)), masks[:, :, ::-1])


def test_shift_by_whole_pixels_is_exact_and_empty_beyond(masks):
    shifted = warp_masks(masks, np.array([[1.0, 0, 4], [0, 1, -2], [0, 0, 1]]), (11, 13))
    np.testing.assert_array_equal(shifted[:, :9, 4:], masks[:, 2:, :9])
    assert not shifted[:, 9:].any() and not shifted[:, :, :4].any()


def test_doubling_keeps_whole_blocks():
    mask = np.zeros((1, 12, 14), bool)
    mask[0, 3:8, 4:11] = True
    doubled = warp_masks(mask, DOUBLE, (24, 28))
    # Corners are interpolated from one pixel of four, 0.75 * 0.75 of its weight, and stay.
    expected = np.zeros((1, 24, 28), bool)
    expected[0, 6:16, 8:22] = True
    np.testing.assert_array_equal(doubled, expected)


def test_halving_takes_the_majority():
    blocks = np.zeros((1, 4, 8), bool)
    blocks[0, 0:2, 0:2] = [[1, 1], [1, 0]]
    blocks[0, 0:2, 2:4] = [[1, 0], [0, 0]]
    blocks[0, 2:4, 4:6] = [[1, 1], [0, 0]]
    assert warp_masks(blocks, np.diag([0.5, 0.5, 1]), (2, 4)).astype(int).tolist() == [[[1, 0, 0, 0], [0, 0, 1, 0]]]


def test_between_views_and_back(masks):
    """From a flipped view into one that is doubled: the same as doubling the unflipped mask."""
    matrix = view_to_view(FLIP_X, DOUBLE)
    np.testing.assert_array_equal(warp_masks(masks[:, :, ::-1], matrix, (22, 26)), warp_masks(masks, DOUBLE, (22, 26)))


def test_no_masks_and_no_homography():
    assert warp_masks(np.zeros((0, 5, 6), bool), DOUBLE, (10, 12)).shape == (0, 10, 12)
    with pytest.raises(ValueError, match='invertible homography'):
        warp_masks(np.ones((1, 5, 6), bool), np.zeros((3, 3)), (5, 6))
    with pytest.raises(ValueError, match='invertible homography'):
        warp_masks(np.ones((1, 5, 6), bool), np.eye(2), (5, 6))
