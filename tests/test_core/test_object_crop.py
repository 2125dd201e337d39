"""Random object crops: what must hold for every draw, and the released code's draws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmrefine.core.object_crop import random_object_crop

REFERENCE = Path(__file__).parents[1] / 'data' / 'H_modify_boundary_s0.npz'


def test_draws_of_the_released_code() -> None:
    with np.load(REFERENCE) as reference:
        rows = reference['loadobject_crops']
    legacy = SimpleNamespace(integers=np.random.RandomState(0).randint)
    same = 0
    for row in rows:
        size_hw, box, expected = row[:2], row[2:6], row[6:]
        got = random_object_crop(box, size_hw, 40, legacy)
        # All 40 rows agree once the pixel that the released crops of odd length cut off the object is given back.
        united = np.r_[np.minimum(expected[:2], box[:2]), np.maximum(expected[2:], box[2:])]
        np.testing.assert_array_equal(got, united)
        same += np.array_equal(got, expected)
    assert same == 35


def test_holds_the_object_and_stays_in_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        height, width = rng.integers(1, 120, size=2)
        x1, y1 = rng.integers(width), rng.integers(height)
        x2, y2 = rng.integers(x1 + 1, width + 1), rng.integers(y1 + 1, height + 1)
        margin = rng.integers(0, 60)
        left, top, right, bottom = random_object_crop((x1, y1, x2, y2), (height, width), margin, rng)
        assert 0 <= left <= x1 and x2 <= right <= width
        assert 0 <= top <= y1 and y2 <= bottom <= height
        # A pixel more, where the rounding would cut the object; one less, where an odd span fills an odd image.
        assert abs((right - left) - min(x2 - x1 + margin, width)) <= 1
        assert abs((bottom - top) - min(y2 - y1 + margin, height)) <= 1


def test_every_position_is_drawn() -> None:
    rng = np.random.default_rng(0)
    lefts = [random_object_crop((100, 100, 120, 120), (300, 300), 40, rng)[0] for _ in range(1500)]
    assert sorted(set(lefts)) == list(range(60, 101))
    # 41 positions at about 37 draws each; six standard deviations of a binomial count are 36.
    assert np.bincount(lefts)[60:].max() < 37 + 36


def test_no_room_leaves_no_choice() -> None:
    crop = random_object_crop((3, 0, 9, 40), (40, 12), 40, np.random.default_rng(0))
    assert crop.tolist() == [0, 0, 12, 40]
    assert crop.dtype == np.int64


def test_no_margin_is_the_box() -> None:
    crop = random_object_crop((4, 6, 10, 20), (50, 50), 0, np.random.default_rng(0))
    assert crop.tolist() == [4, 6, 10, 20]


@pytest.mark.parametrize(
    ('box', 'margin', 'message'),
    [
        ((5, 5, 5, 9), 40, 'at least one pixel'),
        ((0, 0, 21, 9), 40, 'within the image of 10x20'),
        ((-1, 0, 5, 9), 40, 'within the image'),
        ((0.5, 0, 5, 9), 40, 'integers'),
        ((0, 0, 5), 40, 'four integers'),
        ((0, 0, 5, 9), -1, 'margin_px'),
    ],
)
def test_refusals(box: tuple, margin: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_object_crop(box, (10, 20), margin, np.random.default_rng(0))
