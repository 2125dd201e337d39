"""Masks become polygons and masks again."""

import numpy as np
import pytest
from scipy import ndimage

from mmrefine.core.outlines import DEFAULT_TOLERANCE_PX, to_polygons, to_ring, trace
from mmrefine.core.polygons import rasterize


def blobs(seed: int, size_hw: tuple[int, int] = (90, 130), share: float = 0.45) -> np.ndarray:
    """Smooth shapes with holes and parts, which touch the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size_hw), 4)
    return noise > np.quantile(noise, 1 - share)


def test_literal_square_with_a_hole():
    mask = np.ones((4, 5), bool)
    mask[1:3, 2] = False
    [[outer, hole]] = trace(mask)
    assert sorted(map(tuple, outer)) == [(0, 0), (0, 4), (5, 0), (5, 4)]
    assert sorted(map(tuple, hole)) == [(2, 1), (2, 3), (3, 1), (3, 3)]


def test_pixels_that_meet_at_a_corner_are_parts():
    assert [len(rings) for rings in trace(np.eye(3, dtype=bool))] == [1, 1, 1]


@pytest.mark.parametrize('tolerance_px', [0.0, DEFAULT_TOLERANCE_PX])
@pytest.mark.parametrize('seed', range(8))
def test_polygons_give_the_same_mask_again(seed, tolerance_px):
    mask = blobs(seed)
    assert np.array_equal(rasterize(to_polygons(mask, tolerance_px), mask.shape), mask)
    assert np.array_equal(rasterize([to_ring(mask, tolerance_px).ravel().tolist()], mask.shape), mask)


@pytest.mark.parametrize('seed', range(3))
def test_every_corner_of_noise_is_kept(seed):
    mask = np.random.default_rng(seed).random((23, 31)) > 0.5
    assert np.array_equal(rasterize(to_polygons(mask, 0), mask.shape), mask)
    assert np.array_equal(rasterize(to_polygons(mask), mask.shape), mask)


def test_thin_and_tiny():
    for mask in (np.eye(9, dtype=bool), np.ones((1, 1), bool), np.eye(7, dtype=bool)[::-1], np.ones((1, 30), bool)):
        assert np.array_equal(rasterize(to_polygons(mask), mask.shape), mask)
    assert to_polygons(np.zeros((3, 4), bool)) == []
    assert len(to_ring(np.zeros((3, 4), bool))) == 0


def test_a_tolerance_takes_points_away_and_moves_the_outline_no_further():
    mask = blobs(1, (200, 300), 0.5)
    counts = []
    for tolerance_px in (0, DEFAULT_TOLERANCE_PX, 2):
        polygons = to_polygons(mask, tolerance_px)
        counts.append(sum(map(len, polygons)))
        changed = rasterize(polygons, mask.shape) != mask
        depth = np.maximum(ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask))
        assert changed.any() == (tolerance_px == 2)
        assert not changed.any() or np.quantile(depth[changed], 0.99) <= tolerance_px + 1
    assert counts[0] > 1.3 * counts[1] > 2.6 * counts[2]
    with pytest.raises(ValueError, match='at least 0 and finite .pixels., got -1'):
        trace(mask, -1)
