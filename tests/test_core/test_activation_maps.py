"""Class activation maps become label maps."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.activation_maps import activation_label_map, resize_scores


def test_background_score():
    scores = np.array([[[0.9, 0.3, 0.0]], [[0.2, 0.4, 0.0]]], np.float32)
    labels, winning = activation_label_map(np.array([3, 14]), scores, alpha=1.0)
    assert labels.tolist() == [[4, 0, 0]]
    np.testing.assert_allclose(winning, [[0.9, 0.6, 1.0]], rtol=1e-6)
    assert activation_label_map(np.array([3, 14]), scores, alpha=4.0)[0].tolist() == [[4, 15, 0]]
    assert activation_label_map(np.zeros(0, int), np.zeros((0, 2, 2)), 1.0)[0].tolist() == [[0, 0], [0, 0]]


def test_scores_out_of_range_are_refused():
    with pytest.raises(ValueError, match='2.5'):
        activation_label_map(np.array([0]), np.full((1, 2, 2), 2.5), alpha=1.0)
    with pytest.raises(ValueError, match='2 classes'):
        activation_label_map(np.array([0, 1]), np.zeros((1, 2, 2)), alpha=1.0)


def test_threshold():
    scores = np.array([[[0.9, 0.3, 0.0]], [[0.2, 0.4, 0.0]]], np.float32)
    labels = {t: activation_label_map(np.array([3, 14]), scores, threshold=t)[0].tolist() for t in (0.1, 0.35, 0.5)}
    assert labels == {0.1: [[4, 15, 0]], 0.35: [[4, 15, 0]], 0.5: [[4, 0, 0]]}
    # alpha 8 cuts where (1 - level)^8 = level, at 0.1885 by bisection.
    for level, expected in ((0.188, 0), (0.189, 1)):
        scores = np.full((1, 1, 1), level)
        for options in ({'alpha': 8}, {'threshold': 0.1885}):
            assert activation_label_map(np.array([0]), scores, **options)[0].item() == expected
    for options in ({}, {'alpha': 1, 'threshold': 0.5}, {'threshold': 1.5}):
        with pytest.raises(ValueError, match='threshold'):
            activation_label_map(np.array([0]), scores, **options)


def test_sizes():
    scores = np.zeros((2, 4, 5), np.float32)
    scores[1, :, 3:] = 1
    resized = resize_scores(scores, (15, 20))
    assert resized.shape == (2, 15, 20) and (resized[0] == 0).all()
    assert (resized[1, :, :10] == 0).all() and (resized[1, :, 15:] == 1).all()
    assert resize_scores(scores, (4, 5)) is scores
    for size_hw in ((20, 16), (10, 20)):
        with pytest.raises(ValueError, match=f'4x5 .HxW. but their image is {size_hw[0]}x{size_hw[1]}'):
            resize_scores(scores, size_hw)
