"""Prompts drawn from the ground truth, and means over datasets."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.evaluation import mean_of_sets, simulated_prompt


@pytest.fixture
def mask() -> np.ndarray:
    """Rows 3 to 8 and columns 2 to 11, without a corner."""
    mask = np.zeros((12, 16), bool)
    mask[3:9, 2:12] = True
    mask[3, 2:5] = False
    return mask


def test_box_names_the_first_and_last_pixels(mask):
    points, labels = simulated_prompt(mask, 'box', 0, 'a')
    np.testing.assert_array_equal(points, [[2, 3], [11, 8]])
    np.testing.assert_array_equal(labels, [2, 3])
    assert points.dtype == np.float32 and labels.dtype == np.int32


@pytest.mark.parametrize('count', [1, 2, 5, 10])
def test_clicks_lie_on_the_object_and_few_are_the_first_of_many(mask, count):
    points, labels = simulated_prompt(mask, count, 7, 'a')
    columns, rows = points.astype(int).T
    assert points.shape == (count, 2) and mask[rows, columns].all() and (labels == 1).all()
    np.testing.assert_array_equal(points, simulated_prompt(mask, 10, 7, 'a')[0][:count])


def test_clicks_follow_from_seed_and_name_alone(mask):
    clicks = {(seed, name): simulated_prompt(mask, 5, seed, name)[0] for seed in (0, 1) for name in 'ab'}
    for (seed, name), points in clicks.items():
        np.random.seed(3)  # no hidden state: neither numpy's nor what was drawn before
        np.testing.assert_array_equal(points, simulated_prompt(mask, 5, seed, name)[0])
    drawn = list(clicks.values())
    assert all(not np.array_equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))


def test_clicks_are_even_over_the_object():
    mask = np.zeros((1, 4), bool)
    mask[0, 1:] = True
    points, _ = simulated_prompt(mask, 3000, 0, 'a')
    # 1000 expected for each pixel; the standard deviation is sqrt(3000 * 1/3 * 2/3) = 26.
    np.testing.assert_allclose(np.bincount(points[:, 0].astype(int)), [0, 1000, 1000, 1000], atol=130)


@pytest.mark.parametrize('prompt', [0, -1, 1.5, True, 'click'])
def test_unknown_prompts_are_refused(mask, prompt):
    with pytest.raises(ValueError, match="must be 'box' or a number of clicks"):
        simulated_prompt(mask, prompt, 0, 'a')


def test_a_prompt_needs_an_object(mask):
    with pytest.raises(ValueError, match='got an empty one'):
        simulated_prompt(np.zeros_like(mask), 'box', 0, 'a')
    with pytest.raises(ValueError, match=r'uint8 of shape \(12, 16\)'):
        simulated_prompt(mask.astype(np.uint8), 1, 0, 'a')


def test_sets_weigh_the_same_whatever_their_size():
    summaries = {'small': {'refined/iou': 0.2, 'num_masks': 1}, 'large': {'refined/iou': 0.8, 'num_masks': 99}}
    assert mean_of_sets(summaries) == {'refined/iou': 0.5, 'num_masks': 100}
    with pytest.raises(ValueError, match='at least one dataset'):
        mean_of_sets({})
