"""Split and merge against the numbers of the authors' code (C_*), and painting back by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrefine.core import regions as regions_module
from mmrefine.core.prompts import tight_box
from mmrefine.core.regions import (
    label_regions,
    merge_regions,
    paint_regions,
    resolve_overlaps,
    split_label_map,
)


@pytest.fixture(scope='module')
def reference():
    return dict(np.load(Path(__file__).parents[1] / 'data' / 'C_sem2ins_a.npz'))


def expected_regions(reference, number, label):
    rows = (reference['index'][:, 0] == number) & (reference['index'][:, 1] == label)
    return np.unpackbits(reference['masks_packed'][rows], axis=-1, count=reference['label_maps'].shape[2]) > 0


def merged(parts: list[np.ndarray]) -> list[np.ndarray]:
    """What parts are as whole objects."""
    boxes = np.array([tight_box(part) for part in parts], np.int64).reshape(-1, 4)
    areas_px = np.array([np.count_nonzero(part) for part in parts], np.int64)
    return [np.any([parts[index] for index in group], axis=0) for group in merge_regions(boxes, areas_px)]


def test_regions_of_recorded_components(reference):
    for (number, label, _), components in zip(reference['n_components'], reference['component_labels'], strict=True):
        expected = expected_regions(reference, number, label)
        sizes = np.bincount(components.ravel())[1:]
        parts = [components == number for number in np.flatnonzero((sizes >= 5) | (len(sizes) == 1)) + 1]
        regions = merged(parts)
        assert len(regions) == len(expected)
        for region, wanted in zip(regions, expected, strict=True):
            np.testing.assert_array_equal(region, wanted)


def test_split_finds_the_same_regions_in_label_maps(reference):
    """As sets: the order of components is OpenCV's, and may change with its version."""
    for number, label_map in enumerate(reference['label_maps']):
        masks, labels = split_label_map(label_map)
        found = {(int(label), mask.tobytes()) for label, mask in zip(labels, masks, strict=True)}
        wanted = {
            (int(label), mask.tobytes())
            for label in np.unique(labels)
            for mask in expected_regions(reference, number, label)
        }
        assert found == wanted and len(labels) == (reference['index'][:, 0] == number).sum()


def bars(*columns: tuple[int, int], size=(10, 20), rows=slice(2, 8)) -> list[np.ndarray]:
    """Upright bars between pairs of columns."""
    masks = []
    for start, stop in columns:
        mask = np.zeros(size, bool)
        mask[rows, start:stop] = True
        masks.append(mask)
    return masks


def test_neighbours_merge_and_distant_ones_do_not():
    near, far = merged(bars((0, 6), (7, 13))), merged(bars((0, 3), (15, 18)))
    assert len(near) == 1 and near[0].sum() == 72
    assert len(far) == 2


def numbers(regions: list[np.ndarray]) -> list[int]:
    """Pixels of every region; those of a bar are six times its columns."""
    return [int(region.sum()) for region in regions]


def test_own_boxes_count_pixels_and_the_hull_is_a_difference_of_indices():
    """Hulls of 3 by 5; two columns count as 12 px each, not as boxes of area 0, and 24 > 0.5 * 15, not 0.5 * 24 * 2."""
    assert numbers(merged(bars((0, 1), (3, 4)))) == [12]
    assert len(merged(bars((0, 5), (12, 16), (7, 10), size=(10, 24)))) == 1
    assert len(merged(bars((13, 14), (1, 2), (4, 5), size=(10, 24)))) == 2


def test_a_region_is_compared_as_it_has_grown():
    """The third bar is too far from the first alone, but not once the first has taken in the second."""
    first, second, third = bars((19, 21), (10, 16), (0, 4), size=(10, 24))
    assert len(merged([first, third])) == 2
    assert numbers(merged([first, second, third])) == [72]


def test_pairs_are_visited_once():
    """The first is near neither of the others; together they would be near it, but then it has had its turn."""
    first, second, third = bars((0, 1), (6, 7), (9, 12), size=(10, 24))
    assert len(merged([first, second])) == len(merged([first, third])) == 2
    once = merged([first, second, third])
    assert numbers(once) == [6, 24]
    assert len(merged(once)) == 1


def test_a_part_that_was_taken_in_brings_its_region_along():
    """The first takes in the third; the second, whose turn is next, is compared with the third, and so with both."""
    first, second, third = bars((0, 2), (21, 23), (8, 19), size=(10, 24))
    assert [len(merged([first, other])) for other in (second, third)] == [2, 1]
    assert numbers(merged([first, second, third])) == [90]


def test_splits():
    label_map = np.zeros((10, 40), np.uint8)
    label_map[2:8, 0:6] = label_map[2:8, 7:13] = label_map[2:8, 36:38] = 1
    assert numbers(split_label_map(label_map)[0]) == [72, 12]
    assert numbers(split_label_map(label_map, split='components')[0]) == [36, 36, 12]
    assert numbers(split_label_map(label_map, split='classes')[0]) == [84]
    with pytest.raises(ValueError, match="'objects'"):
        split_label_map(label_map, split='objects')


def test_void_and_background_are_no_regions():
    label_map = np.array([[0, 255, 7], [0, 255, 7]], np.uint8)
    assert split_label_map(label_map)[1].tolist() == [7]
    assert split_label_map(label_map, background=None, void=None)[1].tolist() == [0, 7, 255]
    masks, labels = split_label_map(np.zeros((2, 3), np.uint8))
    assert masks.shape == (0, 2, 3) and labels.shape == (0,)


def test_overlaps_go_by_score_then_by_size_then_by_order():
    masks = np.zeros((3, 1, 4), bool)
    masks[0, 0, :3], masks[1, 0, 1:3], masks[2, 0, 2:4] = True, True, True
    assert resolve_overlaps(masks, np.array([0.9, 0.5, 0.5])).tolist() == [[0, 0, 0, 2]]
    assert resolve_overlaps(masks, np.array([0.5, 0.5, 0.5])).tolist() == [[0, 1, 1, 2]]
    assert resolve_overlaps(masks[:0], np.zeros(0)).tolist() == [[-1] * 4]


def test_painting():
    label_map = np.array([[1, 1, 2, 2, 255, 0, 3]], np.uint8)
    coarse = np.array([[[1, 1, 0, 0, 0, 0, 0]], [[0, 0, 1, 1, 0, 0, 0]]]) > 0
    refined = np.array([[[0, 1, 1, 0, 0, 0, 0]], [[0, 0, 1, 0, 1, 1, 0]]]) > 0
    labels, scores = np.array([1, 2]), np.array([0.9, 0.8])
    painted = paint_regions(label_map, coarse, refined, labels, scores)
    # given up: background; overlap: the better score; void untouched; label 3, in no region, untouched
    assert painted.tolist() == [[0, 1, 1, 0, 255, 2, 3]] and painted.dtype == np.uint8
    kept = paint_regions(label_map, coarse, refined, labels, scores, background=None)
    assert kept.tolist() == [[1, 1, 1, 2, 255, 2, 3]]
    assert label_map[0, 0] == 1


def test_unrefined_regions_give_the_map_back(reference):
    for label_map in reference['label_maps']:
        masks, labels = split_label_map(label_map, min_area_px=1)
        np.testing.assert_array_equal(paint_regions(label_map, masks, masks, labels, np.ones(len(labels))), label_map)


def test_wrong_input_is_named():
    with pytest.raises(TypeError, match='float32'):
        split_label_map(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match=r'\(4, 4, 3\)'):
        split_label_map(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match='2 labels'):
        empty = np.zeros((1, 4, 4), bool)
        paint_regions(np.zeros((4, 4), np.uint8), empty, empty, np.array([1, 2]), np.ones(2))


@pytest.mark.parametrize('labels', [2, 3, 5, 20])
def test_regions_of_noise(labels):
    """Tens of thousands of components: regions are disjoint, lie in their class, and the dense ones are the same."""
    label_map = np.random.default_rng(labels).integers(1, labels + 1, (300, 300)).astype(np.uint8)
    regions = label_regions(label_map)
    seen = np.zeros(label_map.shape, bool)
    for region in regions:
        mask = region.mask(label_map.shape)
        assert (label_map[mask] == region.label).all() and not seen[mask].any()
        assert region.crop[0].any() and region.crop[-1].any() and region.crop[:, 0].any() and region.crop[:, -1].any()
        seen |= mask
    masks, numbers = split_label_map(label_map)
    assert numbers.tolist() == [region.label for region in regions]
    assert all(np.array_equal(mask, region.mask(label_map.shape)) for mask, region in zip(masks, regions, strict=True))


def test_merging_in_blocks_is_merging(monkeypatch):
    """However many are compared at a time."""
    rng = np.random.default_rng(1)
    label_map = (rng.random((80, 80)) < 0.3).astype(np.uint8)
    whole = split_label_map(label_map)[0]
    for block in (1, 3):
        monkeypatch.setattr(regions_module, '_BLOCK', block)
        assert np.array_equal(split_label_map(label_map)[0], whole)
