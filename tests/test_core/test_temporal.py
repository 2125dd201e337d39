"""Motion, carried masks, flicker."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmrefine.core.iou import binary_iou
from mmrefine.core.temporal import consensus, estimate_flow, flicker, forward_backward_iou, must_restart, warp_mask


def textured(size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, which flow can follow."""
    noise = rng.integers(0, 256, (size_hw[0] // 4, size_hw[1] // 4, 3), dtype=np.uint8)
    return cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_CUBIC)


def square(x: int, y: int, side: int = 30) -> np.ndarray:
    mask = np.zeros((96, 128), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.mark.parametrize('size_hw', [(96, 128), (40, 48)])
def test_flow_finds_a_shift(rng, size_hw):
    """The scene moves by (3, 2): what is here was there, so the way back is (-3, -2)."""
    before = textured(size_hw, rng)
    after = np.roll(before, (2, 3), axis=(0, 1))
    flow = estimate_flow(after, before)[8:-8, 8:-8]
    assert np.median(np.abs(flow - (-3, -2))) < 0.5


def test_mask_follows_the_scene(rng):
    before = textured((96, 128), rng)
    after = np.roll(before, (2, 3), axis=(0, 1))
    carried = warp_mask(square(40, 30), estimate_flow(after, before))
    assert binary_iou(carried, square(43, 32)) > 0.93
    assert binary_iou(carried, square(40, 30)) < 0.9


def test_what_comes_into_view_is_background():
    flow = np.zeros((96, 128, 2), np.float32)
    flow[..., 0] = -10  # everything came from ten pixels further left
    carried = warp_mask(np.ones((96, 128), bool), flow)
    assert not carried[:, :10].any() and carried[:, 10:].all()


def test_consensus_and_ties():
    votes = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], bool).reshape(3, 1, 4)
    assert consensus(list(votes)).tolist() == [[True, True, False, False]]
    own = np.array([[0, 0, 1, 1]], bool)
    assert consensus(list(votes), own).tolist() == [[True, True, False, False]]  # no tie, no say
    assert consensus(list(votes[:2]), own).tolist() == [[True, True, True, False]]  # a tie in the third
    assert consensus(list(votes[:2])).tolist() == [[True, True, False, False]]


def test_flicker_of_a_moving_object_is_none_but_of_unsteady_masks_is():
    """With exact flow: steady masks score 0; every second frame gone scores 1; a known overlap its complement."""
    flow = np.zeros((96, 128, 2), np.float32)
    flow[..., 0] = -4
    moving = [square(20 + 4 * t, 30) for t in range(4)]
    assert flicker(moving, [flow] * 3) == 0
    assert flicker([moving[0], moving[1] & False, moving[2], moving[3] & False], [flow] * 3) == 1
    still = np.zeros_like(flow)
    # Squares of 30 that are 10 apart: they share 20 of 40 columns.
    assert flicker([square(20, 30), square(30, 30)], [still]) == pytest.approx(0.5)


def test_flicker_leaves_out_frames_without_the_object():
    still, gone = np.zeros((96, 128, 2), np.float32), np.zeros((96, 128), bool)
    assert flicker([square(20, 30), square(20, 30), gone, gone], [still] * 3) == pytest.approx(1 / 2)
    assert np.isnan(flicker([gone, gone], [still]))
    assert np.isnan(flicker([], []))
    with pytest.raises(ValueError, match='1 flows between them, got 2'):
        flicker([gone, gone], [still, still])


def test_forward_backward_iou():
    mask = square(40, 30)
    right, left = np.zeros((2, 96, 128, 2), np.float32)
    right[..., 0], left[..., 0] = -6, 6
    assert forward_backward_iou(mask, right, left) == 1
    assert forward_backward_iou(mask, right, right) == pytest.approx((30 - 12) / (30 + 12))  # comes back 12 pixels off
    assert forward_backward_iou(mask, right + 200, left) == 0  # out of the frame
    assert forward_backward_iou(np.zeros_like(mask), right, left) == 1


def test_when_refinement_starts_again():
    refined, propagated, coarse = square(20, 30), square(32, 30), square(30, 30)
    nothing = np.zeros_like(coarse)
    assert must_restart(refined, propagated, coarse, 0.9, 0.25)
    assert not must_restart(propagated, propagated, coarse, 0.9, 0.25)  # it agrees
    assert not must_restart(refined, nothing, coarse, 0.9, 0.25)  # the object has just appeared
    assert not must_restart(coarse, propagated, coarse, 0.9, 0.25)  # refinement had nothing better
    assert not must_restart(refined, square(90, 60), coarse, 0.9, 0.25)  # after a cut


def test_sizes_must_agree():
    with pytest.raises(ValueError, match='same size'):
        estimate_flow(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 65, 3), np.uint8))
    with pytest.raises(ValueError, match='same size'):
        warp_mask(np.zeros((4, 5), bool), np.zeros((5, 4, 2), np.float32))
