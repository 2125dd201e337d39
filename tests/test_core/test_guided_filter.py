"""The guided filter against its definition: one ridge regression per window."""

from __future__ import annotations

import numpy as np

from mmrefine.core.guided_filter import guided_filter


def by_definition(guide: np.ndarray, values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    pad = [(2 * radius, 2 * radius)] * 2
    guide, values = np.pad(guide, [*pad, (0, 0)], mode='symmetric'), np.pad(values, pad, mode='symmetric')
    total, count = np.zeros_like(values), np.zeros_like(values)
    for y in range(radius, len(values) - radius):
        for x in range(radius, values.shape[1] - radius):
            window = (slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1))
            colours, targets = guide[window].reshape(-1, 3), values[window].ravel()
            centred = colours - colours.mean(0)
            slopes = np.linalg.solve(
                centred.T @ centred / len(colours) + eps * np.eye(3),
                centred.T @ (targets - targets.mean()) / len(colours),
            )
            total[window] += guide[window] @ slopes + targets.mean() - colours.mean(0) @ slopes
            count[window] += 1
    inner = (slice(2 * radius, -2 * radius),) * 2
    return (total / np.maximum(count, 1))[inner]


def test_it_is_a_ridge_regression_per_window():
    rng = np.random.default_rng(0)
    guide, values = rng.random((13, 17, 3)), (rng.random((13, 17)) > 0.5).astype(float)
    found, expected = guided_filter(guide, values, 2, 1e-2), by_definition(guide, values, 2, 1e-2)
    inner = (slice(2, -2),) * 2  # at the border the mirror is of the windows' models, not of the image
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-9)
    assert np.abs(found - expected).max() < 0.5


def test_values_that_are_linear_in_the_guide_come_back():
    guide = np.random.default_rng(1).random((20, 25, 3))
    values = guide @ [0.5, -0.2, 0.3] + 0.1
    np.testing.assert_allclose(guided_filter(guide, values, 4, 1e-10), values, atol=1e-6)


def test_a_constant_guide_only_smooths():
    values = np.zeros((15, 15))
    values[:, 8:] = 1
    smoothed = guided_filter(np.full((15, 15, 3), 0.3), values, 2, 1e-4)
    np.testing.assert_allclose(smoothed[7, [0, 7, 8, 14]], [0, 10 / 25, 15 / 25, 1])
