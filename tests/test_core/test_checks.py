"""Every refusal says what was expected, what came and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.checks import binarize, check_image, check_masks, check_same_size

IMAGE = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ('image', 'error', 'message'),
    [
        ([[0]], TypeError, 'numpy array .* got list'),
        (IMAGE.astype(np.float32), TypeError, 'must be uint8 in 0..255, got float32; convert it'),
        (
            IMAGE[..., 0],
            ValueError,
            r'shape \(H, W, 3\) in RGB order, got \(4, 5\); repeat the channel of a grey image',
        ),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r'got \(4, 5, 4\); .*drop the alpha channel'),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r'no pixels: its shape is \(0, 5, 3\)'),
    ],
)
def test_bad_images(image, error, message):
    with pytest.raises(error, match=message):
        check_image(image)


@pytest.mark.parametrize(
    ('masks', 'error', 'message'),
    [
        ([[True]], TypeError, 'numpy array .* got list'),
        (np.zeros((2, 2, 4, 5), bool), ValueError, r'\(N, H, W\) or \(H, W\), got \(2, 2, 4, 5\)'),
        (
            np.zeros((5, 4), bool),
            ValueError,
            r'5x4 \(HxW\) but the image is 4x5; height and width are swapped: .*EXIF',
        ),
        (np.full((4, 5), np.nan), ValueError, r'NaN or infinite values; expected probabilities in \[0, 1\]'),
        (np.full((4, 5), 7.5), ValueError, r'probabilities in \[0, 1\], got values from 7.5 to 7.5; apply a sigmoid'),
        (
            np.arange(20).reshape(4, 5),
            ValueError,
            r'0/1 or 0/255, got values \[0, 1, 2, .* \.\.\.; a label map',
        ),
        (np.full((4, 5), -3.0), ValueError, r'values from -3 to -3; apply a sigmoid to logits'),
        (np.resize(np.array([0, 7, 255], np.uint8), (4, 5)), ValueError, 'a label map must be split'),
        (
            np.zeros((8, 10), bool),
            ValueError,
            r'are 8x10 \(HxW\) but the image is 4x5; .*proportional: .*resize',
        ),
        (np.zeros((4, 6), bool), ValueError, 'they belong to another image'),
        (np.zeros((4, 5), complex), TypeError, 'bool, integer or float, got dtype complex128'),
    ],
)
def test_bad_masks(masks, error, message):
    with pytest.raises(error, match=message):
        check_masks(masks, (4, 5))


@pytest.mark.parametrize(
    'masks',
    [
        np.array([[0, 1]], bool),
        np.array([[0, 1]], np.uint8),
        np.array([[0, 255]], np.uint8),
        np.array([[0, 255]], np.int64),
        np.array([[0, 65535]], np.uint16),
        np.array([[127, 128]], np.uint8),
        np.array([[3, 254]], np.uint8),
        np.array([[0.49, 0.5]], np.float32),
        np.array([[0.0, 1.0]], np.float16),
    ],
)
def test_the_same_mask_in_every_dtype(masks):
    checked = check_masks(masks, (1, 2))
    assert checked.dtype == bool and checked.tolist() == [[[False, True]]]


def test_no_masks_of_any_dtype():
    for dtype in (bool, np.uint8, np.float32):
        assert binarize(np.zeros((0, 4, 5), dtype)).shape == (0, 4, 5)


@pytest.mark.parametrize(
    ('size_hw', 'image_hw', 'are_proportional'),
    [
        ((333, 500), (500, 750), True),
        ((40, 56), (20, 28), True),
        ((19, 28), (20, 28), False),
        ((20, 27), (20, 28), False),
    ],
)
def test_a_row_that_is_missing_is_no_resizing(size_hw, image_hw, are_proportional):
    with pytest.raises(ValueError) as refusal:
        check_same_size('masks are', size_hw, image_hw)
    assert ('proportional' in str(refusal.value)) == are_proportional
