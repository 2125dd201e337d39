"""The losses against the released code's values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.models.losses import MaskBCELoss, TextureL1Loss, sobel_magnitude
from tests.helpers.reference import LOSS_ATOL, floats, load


@pytest.mark.parametrize(('loss', 'name'), [(MaskBCELoss(), 'bce'), (TextureL1Loss(loss_weight=5.0), 'texture')])
def test_value_and_gradient(loss, name):
    expected = load('F_losses_s0')
    logits = floats(expected['pred']).requires_grad_()
    value = loss(logits, torch.from_numpy(expected['target']))
    value.backward()
    np.testing.assert_allclose(value.detach(), expected[f'{name}_loss'], rtol=0, atol=LOSS_ATOL)
    np.testing.assert_allclose(logits.grad, expected[f'{name}_grad'], rtol=0, atol=LOSS_ATOL)


def test_sobel_magnitude():
    expected = load('F_losses_s0')
    for masks, name in ((floats(expected['pred']).sigmoid(), 'pred'), (floats(expected['target']), 'target')):
        np.testing.assert_allclose(sobel_magnitude(masks), expected[f'sobel_{name}'], rtol=0, atol=LOSS_ATOL)
