"""Prompts of one object."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.structures import ObjectPrompt


def test_a_box_comes_before_the_points():
    prompt = ObjectPrompt.of([[5, 6]], [0], box=[1, 2, 3, 4])
    assert prompt.point_coords.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert prompt.point_labels.tolist() == [2, 3, 0]
    assert prompt.point_coords.dtype == torch.float32 and prompt.point_labels.dtype == torch.int32


def test_a_mask_alone_gets_a_point_that_is_none():
    prompt = ObjectPrompt.of(mask_input=np.zeros((1, 4, 4)))
    assert prompt.point_labels.tolist() == [-1] and prompt.mask_input.dtype == torch.float32


def test_scaling_and_moving():
    prompt = ObjectPrompt.of([[4, 6]], [1], mask_input=torch.zeros(1, 4, 4)).scaled(0.5, 2)
    assert prompt.point_coords.tolist() == [[2, 12]]
    assert prompt.to('meta').mask_input.is_meta


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({}, 'the prompt is empty'),
        ({'points': [[1, 2]]}, 'points and labels must be given together'),
        ({'points': [[1, 2]], 'labels': [1, 1]}, r'labels \(P,\), got \(1, 2\) and \(2,\)'),
        ({'points': [[1, 2]], 'labels': [7]}, r'got \[7\]'),
        ({'points': [[1, float('nan')]], 'labels': [1]}, 'NaN'),
        ({'box': [1, 2, 3]}, r'box must be \(x1, y1, x2, y2\)'),
        ({'mask_input': np.zeros((4, 4))}, r'mask_input must have shape \(1, m, m\), got \(4, 4\)'),
        ({'mask_input': np.full((1, 4, 4), np.inf)}, 'infinite'),
    ],
)
def test_bad_prompts_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        ObjectPrompt.of(**given)
