"""Boxes, crops and pasting, on numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import torch

from mmrefine.core.crops import crop_resize, fill_boxes, mask_boxes, pad_boxes, paste


def test_boxes_have_exclusive_ends_and_empty_masks_give_zeros():
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 2:4, 1:7] = True
    masks[2, 5, 7] = True
    assert mask_boxes(masks).tolist() == [[1, 2, 7, 4], [0, 0, 0, 0], [7, 5, 8, 6]]
    assert mask_boxes(masks[:0]).shape == (0, 4)


def test_filled_boxes_are_the_inverse_of_mask_boxes():
    boxes = np.array([[1, 2, 7, 4], [0, 0, 8, 6], [7, 5, 8, 6]])
    masks = fill_boxes(boxes, (6, 8))
    assert mask_boxes(masks).tolist() == boxes.tolist()
    assert np.count_nonzero(masks, axis=(1, 2)).tolist() == [12, 48, 1]


def test_filled_boxes_round_are_cut_and_have_a_pixel():
    boxes = np.array([[1.4, 1.6, 3.4, 4.6], [-5, -5, 2, 99], [3.1, 3.1, 3.2, 3.2], [8, 6, 8, 6], [20, 20, 30, 30]])
    expected = [[1, 2, 3, 5], [0, 0, 2, 6], [3, 3, 4, 4], [7, 5, 8, 6], [7, 5, 8, 6]]
    assert mask_boxes(fill_boxes(boxes, (6, 8))).tolist() == expected
    assert fill_boxes(np.zeros((0, 4)), (6, 8)).shape == (0, 6, 8)


def test_padding_is_clipped_and_counts_pixels_and_shares():
    boxes = np.array([[10, 10, 30, 20]])
    assert pad_boxes(boxes, (100, 100), margin_px=4).tolist() == [[6, 6, 34, 24]]
    assert pad_boxes(boxes, (22, 31), margin_px=20).tolist() == [[0, 0, 31, 22]]
    # The mean side is 15 px: a share of 0.2 is 3 px, on top of 1.
    assert pad_boxes(boxes, (100, 100), margin_px=1, margin_ratio=0.2).tolist() == [[6, 6, 34, 24]]


def test_crop_of_its_own_size_is_the_pixels():
    image = torch.arange(48).view(1, 6, 8)
    torch.testing.assert_close(crop_resize(image, np.array([2, 1, 6, 5]), 4), image[:, 1:5, 2:6].float())


def test_paste_of_its_own_size_is_the_map():
    probabilities = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    for border in ('zeros', 'border'):
        torch.testing.assert_close(paste(probabilities, np.array([3, 2, 7, 6]), border), probabilities)


def test_paste_fades_or_repeats_at_the_border():
    # Twice the size: the outermost pixel lies a quarter of a cell outside the outermost centre.
    ones = torch.ones(2, 2)
    assert paste(ones, np.array([0, 0, 4, 4]), 'border').min() == 1
    faded = paste(ones, np.array([0, 0, 4, 4]), 'zeros')
    torch.testing.assert_close(faded[1, 1], torch.tensor(1.0))
    torch.testing.assert_close(faded[0, 0], torch.tensor(0.75 * 0.75))


def test_paste_is_the_inverse_of_a_crop_up_to_sampling():
    ys, xs = np.mgrid[:60, :90]
    disk = ((ys - 30) ** 2 + (xs - 45) ** 2 < 20**2).astype(np.float32)
    box = np.array([15, 5, 75, 55])
    back = paste(crop_resize(torch.from_numpy(disk)[None], box, 64)[0], box) >= 0.5
    wrong = np.count_nonzero(back.numpy() != disk[5:55, 15:75].astype(bool))
    # Resampling may flip pixels of the contour only, about 2 pi 20 = 126 of them.
    assert wrong < 30
