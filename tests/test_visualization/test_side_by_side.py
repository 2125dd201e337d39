"""The picture shows photo, coarse and refined masks where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.visualization import draw_refinement
from mmrefine.visualization.side_by_side import ADDED_RGB, REMOVED_RGB

SIZE = (60, 90)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def panels(drawn: np.ndarray, side: int) -> list[np.ndarray]:
    """The three panels of a picture whose photo is ``side`` wide, found by where they stand in a row at the bottom."""
    height = round(side * SIZE[0] / SIZE[1])
    gap = (drawn.shape[1] - 3 * side) // 4
    return [drawn[-gap - height : -gap, gap + index * (side + gap) :][:, :side] for index in range(3)]


def test_panels_at_the_size_of_the_image(image: np.ndarray) -> None:
    coarse = np.zeros((1, *SIZE), bool)
    refined = coarse.copy()
    coarse[0, 10:40, 10:50] = True
    refined[0, 20:40, 10:70] = True
    drawn = draw_refinement(image, coarse, refined, 'heading', panel_side=90)
    photo, before, after = panels(drawn, 90)
    np.testing.assert_array_equal(photo, image)
    # Away from contours, which are a pixel wide and smoothed: untouched outside, tinted inside.
    np.testing.assert_array_equal(before[45:], image[45:])
    assert (before[13:37, 13:47] != image[13:37, 13:47]).any(axis=2).mean() > 0.95
    for region, colour in (((slice(24, 36), slice(54, 66)), ADDED_RGB), ((slice(13, 16), slice(14, 46)), REMOVED_RGB)):
        expected = 0.6 * image[region] + 0.4 * np.array(colour)
        np.testing.assert_allclose(after[region], expected, atol=1)
    np.testing.assert_array_equal(after[24:36, 14:46], image[24:36, 14:46])


@pytest.mark.parametrize('side', [40, 200])
def test_pictures_are_fitted(image: np.ndarray, side: int) -> None:
    masks = np.zeros((0, *SIZE), bool)
    drawn = draw_refinement(image, masks, masks, panel_side=side)
    assert drawn.dtype == np.uint8
    assert 3 * side < drawn.shape[1] < 3 * side + 50
    first, second, third = panels(drawn, side)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    assert abs(float(first.mean()) - float(image.mean())) < 2  # resizing keeps the mean, up to the border


def test_heading_is_written_and_inputs_stay(image: np.ndarray) -> None:
    masks = np.ones((2, *SIZE), bool)
    before = image.copy()
    plain, headed = (draw_refinement(image, masks, masks, heading) for heading in ('', 'größe'))
    assert plain.shape == headed.shape and (plain != headed).any()
    np.testing.assert_array_equal(image, before)


def test_refusals(image: np.ndarray) -> None:
    masks = np.ones((2, *SIZE), bool)
    with pytest.raises(ValueError, match='as many refined as coarse masks, got 1 and 2'):
        draw_refinement(image, masks, masks[:1])
    with pytest.raises(ValueError, match='size of the image'):
        draw_refinement(image, masks[:, :30], masks)
