"""How far two masks are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.core.iou import binary_iou


@pytest.fixture
def halves() -> tuple[np.ndarray, np.ndarray]:
    """Rows 0 and 1, and rows 1 and 2, of (4, 4) pixels."""
    first, second = np.zeros((2, 4, 4), bool)
    first[:2], second[1:3] = True, True
    return first, second


def test_agreement_is_iou(halves):
    first, second = halves
    assert binary_iou(first, second) == pytest.approx(1 / 3)
    assert binary_iou(first, first) == 1
    assert binary_iou(first, ~first) == 0


def test_empty_masks_agree_with_each_other_alone(halves):
    empty = np.zeros((4, 4), bool)
    assert binary_iou(empty, empty) == 1
    assert binary_iou(empty, halves[0]) == 0


def test_tensors_agree_as_arrays_do(halves):
    first, second = halves
    empty = np.zeros_like(first)
    pairs = np.stack([first, empty, first, empty]), np.stack([second, empty, empty, first])
    found = binary_iou(*map(torch.from_numpy, pairs))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), binary_iou(*pairs), rtol=1e-6)
    assert binary_iou(*(torch.from_numpy(side)[:, None] for side in pairs)).shape == (4, 1)


def test_masks_are_compared_in_pairs(halves):
    first, second = halves
    empty = np.zeros_like(first)
    assert binary_iou(np.stack([first, empty]), np.stack([second, empty])).tolist() == [pytest.approx(1 / 3), 1.0]
    assert binary_iou(np.zeros((0, 4, 4), bool), np.zeros((0, 4, 4), bool)).shape == (0,)
    with pytest.raises(ValueError):
        binary_iou(np.stack([first, empty]), first[None])
