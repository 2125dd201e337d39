"""Connected components of masks."""

from __future__ import annotations

import numpy as np

from mmrefine.core.components import components_on


def test_components_that_share_a_pixel_stay_whole():
    mask = np.array(
        [
            [1, 1, 0, 0, 1],
            [0, 0, 1, 0, 1],
            [0, 0, 0, 0, 0],
            [1, 0, 0, 1, 1],
        ],
        bool,
    )
    anchor = np.zeros_like(mask)
    anchor[0, 0] = anchor[2] = anchor[3, 3] = True
    expected = mask.copy()
    expected[:2, 4] = False  # touches nothing of the anchor
    expected[3, 0] = False
    np.testing.assert_array_equal(components_on(mask, anchor), expected)


def test_nothing_stays_where_nothing_is_shared():
    assert not components_on(np.ones((3, 3), bool), np.zeros((3, 3), bool)).any()
