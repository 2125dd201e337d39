"""Windows along the contour of a large mask."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.contour_windows import blending_weights, contour_windows


def disk(size_hw: tuple[int, int], centre_yx: tuple[int, int], radius: int) -> np.ndarray:
    ys, xs = np.ogrid[: size_hw[0], : size_hw[1]]
    return (ys - centre_yx[0]) ** 2 + (xs - centre_yx[1]) ** 2 <= radius**2


@pytest.mark.parametrize('centre', [(150, 200), (10, 390), (299, 0)])
def test_windows_cover_the_contour_within_the_image_and_nothing_else(centre):
    mask = disk((300, 400), centre, 100)
    windows = contour_windows(mask, 64)
    covered = np.zeros(mask.shape, bool)
    for x1, y1, x2, y2 in windows:
        assert (x2 - x1, y2 - y1) == (64, 64) and x1 >= 0 and y1 >= 0 and x2 <= 400 and y2 <= 300
        assert 0 < mask[y1:y2, x1:x2].mean() < 1
        covered[y1:y2, x1:x2] = True
    edge = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
    edge[[0, -1]] = edge[:, [0, -1]] = False
    assert covered[edge].all()


def test_neighbours_overlap():
    windows = contour_windows(disk((300, 400), (150, 200), 100), 64, overlap=0.25)
    columns = np.unique(windows[:, 0])
    assert (np.diff(columns) <= 48).all()


def test_mask_smaller_than_a_window_lies_in_its_middle():
    np.testing.assert_array_equal(contour_windows(disk((300, 400), (150, 200), 10), 64), [[168, 118, 232, 182]])


def test_no_windows_without_contour_or_room():
    assert contour_windows(np.zeros((100, 100), bool), 64).shape == (0, 4)
    assert contour_windows(np.ones((100, 100), bool), 64).shape == (0, 4)
    assert contour_windows(disk((50, 400), (25, 200), 20), 64).shape == (0, 4)


def test_weights_are_largest_in_the_middle_and_positive_everywhere():
    weights = blending_weights(4)
    np.testing.assert_allclose(weights[1:3, 1:3], 0.75)
    np.testing.assert_allclose(weights[0], 0.25)
