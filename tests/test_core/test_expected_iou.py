"""The IoU that probabilities promise."""

from __future__ import annotations

import pytest
import torch

from mmrefine.core.expected_iou import boundary_sharpness, expected_iou, mask_stability


def test_by_hand():
    mask = torch.tensor([[True, True], [False, False]])
    # Intersection 0.9 + 0.5, union 2 + 0.4 + 0.
    assert float(expected_iou(mask, torch.tensor([[0.9, 0.5], [0.4, 0.0]]))) == pytest.approx(1.4 / 2.4)
    assert expected_iou(mask, mask.float()) == 1
    assert expected_iou(torch.zeros(2, 2, dtype=torch.bool), torch.zeros(2, 2)) == 0


def test_several_masks_at_once():
    generator = torch.Generator().manual_seed(0)
    masks, probabilities = torch.rand(3, 4, 5, generator=generator) > 0.5, torch.rand(3, 4, 5, generator=generator)
    each = torch.stack([expected_iou(*pair) for pair in zip(masks, probabilities, strict=True)])
    torch.testing.assert_close(expected_iou(masks, probabilities), each)


def test_sharpness_counts_the_pixels_beside_the_boundary():
    row = torch.tensor([0.05, 0.1, 0.3, 0.6, 0.9, 1.0]).repeat(3, 1)
    # The boundary lies between 0.3 and 0.6.
    assert float(boundary_sharpness(row[None])) == pytest.approx((0.4 + 0.2) / 2)
    assert boundary_sharpness((row >= 0.5).float()[None]) == 1
    assert boundary_sharpness(torch.zeros(2, 4, 4)).tolist() == [1, 1]  # no boundary


def test_stability_is_the_agreement_of_two_opinions():
    first, last = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
    first[0, 0], last[0, 0, :2], last[0, 1, 0] = 0.9, 0.6, 0.5
    assert mask_stability(first, last).tolist() == [0.5, 1]
