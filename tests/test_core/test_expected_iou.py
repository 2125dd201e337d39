"""The IoU that probabilities promise."""

from __future__ import annotations

import pytest
import torch

from mmrefine.core.expected_iou import expected_iou


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
