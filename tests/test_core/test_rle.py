"""COCO segmentations: lossless both ways, the same as pycocotools reads them, and damaged ones refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmrefine.core.rle import box_of, decode_segmentation, encode_like, encode_rle, encode_runs, is_absent

SIZE = (5, 7)


def random_masks() -> list[np.ndarray]:
    """Noise (runs of one pixel), blocks (long runs, negative differences), and the extremes."""
    rng = np.random.default_rng(0)
    noise = [rng.random((37, 53)) < share for share in (0.02, 0.5, 0.98)]
    blocks = [np.kron(rng.random((4, 5)) < 0.5, np.ones((50, 70), bool)) for _ in range(3)]
    return [
        *noise,
        *blocks,
        np.zeros(SIZE, bool),
        np.ones(SIZE, bool),
        np.eye(1, dtype=bool),
        np.ones((900, 1200), bool),
    ]


@pytest.mark.parametrize('mask', random_masks(), ids=lambda mask: f'{mask.shape[0]}x{mask.shape[1]}')
def test_both_kinds_of_rle_are_lossless_and_those_of_pycocotools(mask: np.ndarray) -> None:
    compressed, runs = encode_rle(mask), encode_runs(mask)
    np.testing.assert_array_equal(decode_segmentation(compressed, mask.shape), mask)
    np.testing.assert_array_equal(decode_segmentation(runs, mask.shape), mask)
    np.testing.assert_array_equal(coco_mask.decode(compressed), mask)
    np.testing.assert_array_equal(coco_mask.decode(coco_mask.frPyObjects(runs, *mask.shape)), mask)


def test_runs_go_down_the_columns_and_start_with_background() -> None:
    mask = np.array([[1, 0], [1, 1], [0, 1]], bool)
    assert encode_runs(mask) == {'size': [3, 2], 'counts': [0, 2, 2, 2]}


def test_encode_like_keeps_the_kind() -> None:
    mask = np.eye(3, dtype=bool)
    assert encode_like(mask, encode_runs(mask)) == encode_runs(mask)
    assert encode_like(mask, encode_rle(mask)) == encode_rle(mask)
    assert encode_like(mask, [[0, 0, 2, 0, 2, 2]]) == encode_rle(mask)


def test_polygons() -> None:
    mask = decode_segmentation([[1, 1, 4, 1, 4, 3, 1, 3], [5, 4, 7, 4, 7, 5, 5, 5]], SIZE)
    expected = np.zeros(SIZE, bool)
    expected[1:3, 1:4] = expected[4, 5:7] = True
    np.testing.assert_array_equal(mask, expected)
    for nothing in ([], [[]], [[], []]):
        assert is_absent(nothing) and not decode_segmentation(nothing, SIZE).any()
    assert is_absent(None) and not is_absent([[1, 1, 4, 1, 4, 3]]) and not is_absent({'size': [5, 7], 'counts': [35]})


def test_polygons_that_mean_the_same() -> None:
    """Without the outer list, as whole-valued floats, and with parts that are no polygons among good ones."""
    part = [1, 1, 4, 1, 4, 3, 1, 3]
    expected = decode_segmentation([part], SIZE)
    assert expected.sum() == 6
    for same in (part, [[float(value) for value in part]], [part, []], [[5, 5], part, [1, 1, 2, 2], [1, 1, 2, 2, 3]]):
        np.testing.assert_array_equal(decode_segmentation(same, SIZE), expected)


@pytest.mark.parametrize('far', [1e3, 1e6, 1e9, 1e18, 1e300, 1.7e308])
def test_far_points_are_cut_off(far: float) -> None:
    """In no time, and with edges that cross the image where they did."""
    everything = [-far, -far, far, -far, far, far, -far, far]
    assert decode_segmentation([everything], SIZE).all()
    band = np.zeros(SIZE, bool)
    band[1:3, 2:] = True
    np.testing.assert_array_equal(decode_segmentation([[2, 1, far, 1, far, 3, 2, 3]], SIZE), band)
    assert not decode_segmentation([[far, far, far + 9, far, far, far / 2]], SIZE).any()
    diagonal = decode_segmentation([[0, 0, far, far, 0, far]], (40, 40))
    rows, columns = np.indices((40, 40))
    assert not diagonal[columns > rows + 1].any() and diagonal[columns < rows - 1].all()


@pytest.mark.parametrize('reach', [1, 3, 9])
def test_points_outside_are_what_they_are_to_pycocotools(reach: int) -> None:
    """Up to nine images away nothing is cut off: the masks are the same to the pixel."""
    rng = np.random.default_rng(reach)
    for _ in range(50):
        polygon = rng.uniform(-70 * reach, 70 * (reach + 1), (rng.integers(3, 8), 2)).round(2).ravel().tolist()
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([polygon], 50, 70)))
        np.testing.assert_array_equal(decode_segmentation([polygon], (50, 70)), expected)


def test_whole_valued_floats_are_runs() -> None:
    mask = np.eye(5, 7, dtype=bool)
    rle = encode_runs(mask)
    floats = {'size': [5.0, 7.0], 'counts': [float(run) for run in rle['counts']]}
    np.testing.assert_array_equal(decode_segmentation(floats, SIZE), mask)


def test_box() -> None:
    mask = np.zeros(SIZE, bool)
    mask[1:3, 2:6] = True
    assert box_of(mask) == [2, 1, 4, 2]
    assert box_of(np.zeros(SIZE, bool)) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        (None, 'neither polygons nor RLE.*got None'),
        ({'counts': 'abc'}, 'neither polygons nor RLE'),
        ([[1, 2, 3, 4]], 'at least three points'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'at least three points'),
        ([1, 2, 3, 4], 'at least three points'),
        ([None], 'must hold numbers'),
        ([[[1, 2], [3, 4], [5, 6]]], 'polygons must hold numbers'),
        ([[[1, 2]] * 6], 'polygons must hold numbers'),
        ([[1, 1, 4, 1, 4, float('nan')]], 'finite numbers, got .*nan'),
        ([[1, 1, 4, 1, 4, float('inf')]], 'finite numbers, got .*inf'),
        ([[1, 1, 4, 1, 4, 10**400]], 'finite numbers, got'),
        ([[1, 1, 4, 1, True, 3]], 'polygons must hold numbers'),
        ({'size': 5, 'counts': [35]}, 'RLE cannot be read: .*got the size 5'),
        ({'size': [5, float('nan')], 'counts': [35]}, 'RLE cannot be read: .*got the size'),
        ({'size': [10, 14], 'counts': [140]}, 'but the image is 5x7; the sizes are proportional: .* resize'),
        ({'size': [5, 8], 'counts': [40]}, 'but the image is 5x7; they belong to another image'),
        ({'size': [5, 7], 'counts': [float('inf')]}, 'integers'),
        ({'size': [5, 7], 'counts': [10**30]}, 'integers'),
        ([[1, 2, 3, 4, 5, 'a']], 'polygons must hold numbers'),
        ({'size': [7, 5], 'counts': [35]}, r'7x5 \(HxW\) but the image is 5x7; height and width are swapped.*EXIF'),
        ({'size': [5, 7], 'counts': [34]}, 'runs must be integers that add up to 5 x 7 pixels'),
        ({'size': [5, 7], 'counts': [36]}, 'add up to 5 x 7'),
        ({'size': [5, 7], 'counts': [-1, 36]}, 'integers'),
        ({'size': [5, 7], 'counts': [10.5, 24.5]}, 'integers'),
        ({'size': [5, 7], 'counts': ['a']}, 'integers'),
        ({'size': [5, 7], 'counts': None}, 'RLE cannot be read'),
        ({'size': [5, 7], 'counts': 'é'}, 'RLE cannot be read'),
        ({'size': [5, 7], 'counts': ' '}, 'RLE cannot be read'),
        ({'size': [5, 7], 'counts': 'oooo'}, 'RLE cannot be read'),
        ({'size': [5, 7], 'counts': 'o' * 40 + '0'}, 'RLE cannot be read'),
        ({'size': [5, 7], 'counts': ''}, 'add up to 5 x 7'),
    ],
)
def test_damage_is_refused(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_segmentation(segmentation, SIZE)


def test_truncated_text_is_refused() -> None:
    rle = encode_rle(random_masks()[1])
    rle['counts'] = rle['counts'][:-1]
    with pytest.raises(ValueError, match=re.escape('RLE')):
        decode_segmentation(rle, (37, 53))
