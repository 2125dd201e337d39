"""Bands and rings against arrays worked out by hand, and against SciPy's morphology."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mmrefine.core.boundary import band_width, boundary_band, boundary_ring, bounding_slices, mba_radii


def grid(text: str) -> np.ndarray:
    """'.#' drawings as bool arrays."""
    return np.array([[pixel == '#' for pixel in row] for row in text.split()])


def random_blobs(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    return ndimage.gaussian_filter(rng.standard_normal(size_hw), 3) > 0


SQUARE = grid("""
    .......
    .#####.
    .#####.
    .#####.
    .#####.
    .#####.
    .......""")


def test_band_of_a_square_is_its_frame() -> None:
    one = grid("""
        .......
        .#####.
        .#...#.
        .#...#.
        .#...#.
        .#####.
        .......""")
    two = SQUARE.copy()
    two[3, 3] = False
    np.testing.assert_array_equal(boundary_band(SQUARE, 1), one)
    np.testing.assert_array_equal(boundary_band(SQUARE, 2), two)
    np.testing.assert_array_equal(boundary_band(SQUARE, 3), SQUARE)


def test_band_runs_along_the_border_of_the_image() -> None:
    corner = grid("""
        ####.
        ####.
        ####.
        .....""")
    band = grid("""
        ####.
        #..#.
        ####.
        .....""")
    np.testing.assert_array_equal(boundary_band(corner, 1), band)
    full = np.ones((3, 4), bool)
    assert np.count_nonzero(boundary_band(full, 1)) == 10


@pytest.mark.parametrize('width_px', [1, 2, 5, 40])
def test_band_is_the_mask_without_repeated_erosion(width_px: int) -> None:
    mask = random_blobs(np.random.default_rng(width_px), (61, 83))
    eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width_px, border_value=0)
    np.testing.assert_array_equal(boundary_band(mask, width_px), mask & ~eroded)


def test_ring_of_a_pixel_is_a_disk() -> None:
    mask = np.zeros((7, 7), bool)
    mask[3, 3] = True
    np.testing.assert_array_equal(
        boundary_ring(mask, 1),
        grid("""
            .......
            .......
            ...#...
            ..###..
            ...#...
            .......
            ......."""),
    )
    np.testing.assert_array_equal(
        boundary_ring(mask, 2),
        grid("""
            .......
            ...#...
            .#####.
            .#####.
            .#####.
            ...#...
            ......."""),
    )


def test_ring_lies_on_both_sides_and_ignores_the_border_of_the_image() -> None:
    left_half = grid('###... ###... ###... ###...')
    np.testing.assert_array_equal(boundary_ring(left_half, 1), grid('..##.. ..##.. ..##.. ..##..'))
    assert not boundary_ring(np.ones((5, 5), bool), 2).any()
    assert not boundary_ring(np.zeros((5, 5), bool), 2).any()


@pytest.mark.parametrize('radius_px', [1, 3, 6])
def test_ring_is_dilation_without_erosion(radius_px: int) -> None:
    mask = random_blobs(np.random.default_rng(radius_px), (50, 64))
    point = np.zeros((2 * radius_px + 1,) * 2, bool)
    point[radius_px, radius_px] = True
    disk = boundary_ring(point, radius_px)
    dilated = ndimage.binary_dilation(mask, disk)
    eroded = ndimage.binary_erosion(mask, disk, border_value=1)
    np.testing.assert_array_equal(boundary_ring(mask, radius_px), dilated & ~eroded)


def test_ring_of_a_label_map_is_the_union_of_its_classes_rings() -> None:
    rng = np.random.default_rng(4)
    labels = random_blobs(rng, (40, 50)) * 70_000 - random_blobs(rng, (40, 50)) * 1
    classes = [boundary_ring(labels == label, 2) for label in np.unique(labels)]
    assert len(classes) == 4
    np.testing.assert_array_equal(boundary_ring(labels, 2), np.any(classes, axis=0))


@pytest.mark.parametrize(
    ('size_hw', 'ratio', 'width_px'),
    [((480, 640), 0.02, 16), ((3, 4), 0.02, 1), ((150, 200), 0.02, 5), ((1024, 2048), 0.005, 11)],
)
def test_band_width(size_hw: tuple[int, int], ratio: float, width_px: int) -> None:
    assert band_width(size_hw, ratio) == width_px


@pytest.mark.parametrize(
    ('size_hw', 'radii'),
    [
        ((10, 20), [1, 1, 1, 1, 1]),
        ((150, 150), [1, 1, 1, 1, 1]),
        ((480, 640), [1, 1, 2, 2, 3]),  # span 2.73: 1 + 0, 0.55, 1.09, 1.64, 2.19
        ((2000, 3000), [1, 4, 7, 10, 13]),  # span 15.67 in steps of 3.13
    ],
)
def test_mba_radii(size_hw: tuple[int, int], radii: list[int]) -> None:
    assert mba_radii(size_hw) == radii


def test_bounding_slices() -> None:
    mask = np.zeros((8, 9), bool)
    mask[2, 5] = mask[4, 6] = True
    assert bounding_slices(mask) == (slice(2, 5), slice(5, 7))
    assert mask[bounding_slices(mask, margin_px=3)].shape == (8, 7)  # rows 0..7, columns 2..8
    assert mask[bounding_slices(np.zeros_like(mask), margin_px=3)].size == 0


def test_views_are_read_as_they_are_and_not_changed() -> None:
    base = random_blobs(np.random.default_rng(0), (40, 60))
    view = base[::2, ::3].T
    before = base.copy()
    np.testing.assert_array_equal(boundary_band(view, 2), boundary_band(view.copy(), 2))
    np.testing.assert_array_equal(boundary_ring(view, 2), boundary_ring(view.copy(), 2))
    np.testing.assert_array_equal(base, before)


def test_refusals() -> None:
    with pytest.raises(TypeError, match='expected a numpy array of bool, got uint8'):
        boundary_band(np.ones((3, 3), np.uint8), 1)
    with pytest.raises(TypeError, match='bool or integer labels, got float64'):
        boundary_ring(np.ones((3, 3)), 1)
    with pytest.raises(ValueError, match=r'shape \(H, W\) .* got \(1, 3, 3\)'):
        boundary_ring(np.ones((1, 3, 3), bool), 1)
    with pytest.raises(ValueError, match='width_px must be at least 1, got 0'):
        boundary_band(np.ones((3, 3), bool), 0)
    with pytest.raises(ValueError, match='radius_px must be at least 1, got -1'):
        boundary_ring(np.ones((3, 3), bool), -1)
    with pytest.raises(ValueError, match='dilation_ratio must be a positive fraction .* got 0'):
        band_width((3, 3), 0.0)
