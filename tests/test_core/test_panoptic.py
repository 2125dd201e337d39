"""Panoptic maps: stuff in regions, things whole, void untouched."""

from __future__ import annotations

import numpy as np

from mmrefine.core.panoptic import INSTANCE_OFFSET, paint_panoptic_map, split_panoptic_map

THINGS = (INSTANCE_OFFSET, 1 + 2 * INSTANCE_OFFSET)  # class 0, instance 1; class 1, instance 2
ROAD, SKY, VOID = 2, 3, 4  # stuff, and the class after the last


def example() -> np.ndarray:
    """Sky over road, a thing in two parts, a thing on the road, a void column."""
    panoptic_map = np.full((20, 30), SKY, np.int32)
    panoptic_map[10:] = ROAD
    panoptic_map[2:6, 2:6] = panoptic_map[14:18, 20:24] = THINGS[0]
    panoptic_map[8:14, 8:14] = THINGS[1]
    panoptic_map[:, 27] = VOID
    panoptic_map[:, 28] = VOID + 3 * INSTANCE_OFFSET
    return panoptic_map


def test_split_and_paint_are_inverse():
    panoptic_map = example()
    masks, values = split_panoptic_map(panoptic_map, num_classes=4)
    # What lies right of the void columns is joined to the rest of its class, for their boxes fill their hull.
    assert values.tolist() == [ROAD, SKY, *THINGS]
    for mask, value in zip(masks, values, strict=True):
        np.testing.assert_array_equal(mask, panoptic_map == value)
    painted = paint_panoptic_map(panoptic_map, masks, masks, values, np.ones(4), num_classes=4)
    np.testing.assert_array_equal(painted, panoptic_map)
    assert painted.dtype == panoptic_map.dtype and painted is not panoptic_map


def test_every_pixel_has_one_owner_and_void_none():
    panoptic_map = example()
    masks, values = split_panoptic_map(panoptic_map, num_classes=4)
    refined = masks.copy()
    refined[3, 6:16, 6:16] = True  # the thing grows over road and sky,
    refined[0, 8:14, 8:14] = True  # and the road over the thing, with less trust
    refined[1, :, 26:] = True  # sky claims void
    refined[2, 2:6, 2:4] = False  # given up, and nobody wants it
    scores = np.array([0.5, 0.6, 0.7, 0.9])
    painted = paint_panoptic_map(panoptic_map, masks, refined, values, scores, num_classes=4)
    assert (painted[6:16, 6:16] == THINGS[1]).all()
    np.testing.assert_array_equal(painted[:, 27:29], panoptic_map[:, 27:29])
    assert (painted[2:6, 2:4] == THINGS[0]).all()
    assert set(np.unique(painted)) <= set(np.unique(panoptic_map))


def test_stuff_of_far_components_is_several_regions_and_a_thing_is_not():
    panoptic_map = np.full((20, 60), VOID)
    panoptic_map[2:8, 2:8] = panoptic_map[10:16, 50:56] = ROAD
    panoptic_map[10:16, 2:8] = panoptic_map[2:8, 50:56] = THINGS[0]
    _, values = split_panoptic_map(panoptic_map, num_classes=4)
    assert values.tolist() == [ROAD, ROAD, THINGS[0]]


def test_a_further_void_class_and_a_map_of_void():
    panoptic_map = example()
    masks, values = split_panoptic_map(panoptic_map, num_classes=4, ignore_index=SKY)
    assert SKY not in values
    painted = paint_panoptic_map(
        panoptic_map, masks, np.ones_like(masks), values, np.ones(len(values)), num_classes=4, ignore_index=SKY
    )
    np.testing.assert_array_equal(painted == SKY, panoptic_map == SKY)
    masks, values = split_panoptic_map(np.full((5, 6), VOID), num_classes=4)
    assert masks.shape == (0, 5, 6) and values.shape == (0,)
