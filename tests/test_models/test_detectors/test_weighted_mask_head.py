"""The weighted mask loss against MMDetection's own, and by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmrefine.compat import setup

setup()
pytest.importorskip('mmdet')

from mmdet.models.roi_heads.mask_heads import FCNMaskHead  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402

from mmrefine.models.detectors import WeightedFCNMaskHead  # noqa: E402

HEAD = {'num_convs': 1, 'in_channels': 4, 'conv_out_channels': 4, 'num_classes': 2}
LOSS = {'type': 'mmdet.CrossEntropyLoss', 'use_mask': True, 'loss_weight': 1.5}
TRAIN = ConfigDict(mask_size=8)


def rois(*weights: list[float] | None) -> tuple[torch.Tensor, list, list]:
    """Logits of three RoIs per image, two of its first and one of its second instance."""
    logits = torch.randn(3 * len(weights), 2, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    sampling, instances = [], []
    for values in weights:
        masks = np.zeros((2, 32, 32), np.uint8)
        masks[0, 4:20, 4:20], masks[1, 10:30, 12:28] = 1, 1
        boxes = torch.tensor([[4.0, 4, 20, 20], [5, 3, 21, 20], [12, 10, 28, 30]])
        assigned = torch.tensor([0, 0, 1])
        sampling.append(
            SimpleNamespace(pos_priors=boxes, pos_assigned_gt_inds=assigned, pos_gt_labels=torch.tensor([1, 1, 0]))
        )
        fields = {} if values is None else {'weights': torch.tensor(values)}
        instances.append(InstanceData(masks=BitmapMasks(masks, 32, 32), **fields))
    return logits, sampling, instances


def loss_of(head: FCNMaskHead, logits: torch.Tensor, sampling: list, instances: list) -> torch.Tensor:
    return head.loss_and_target(logits, sampling, instances, TRAIN)['loss_mask']['loss_mask']


@pytest.fixture(scope='module')
def head() -> WeightedFCNMaskHead:
    return WeightedFCNMaskHead(**HEAD, loss_mask=LOSS)


def test_without_weights_it_is_mmdets_loss(head):
    plain = FCNMaskHead(**HEAD, loss_mask=LOSS)
    for weights in ((None, None), ([1.0, 1.0], None)):
        torch.testing.assert_close(loss_of(head, *rois(*weights)), loss_of(plain, *rois(None, None)).sum())


def test_weights_reach_the_rois_of_their_instance(head):
    logits, sampling, instances = rois([0.25, 1.0])
    loss_of(head, logits, sampling, instances).backward()
    reference, sampling, instances = rois(None)
    loss_of(head, reference, sampling, instances).backward()
    torch.testing.assert_close(logits.grad[:2], 0.25 * reference.grad[:2])
    torch.testing.assert_close(logits.grad[2], reference.grad[2])


def test_weight_zero_teaches_nothing(head):
    logits, sampling, instances = rois([0.0, 0.0])
    loss_of(head, logits, sampling, instances).backward()
    assert not logits.grad.any()


def test_no_positive_rois(head):
    empty = SimpleNamespace(
        pos_priors=torch.zeros(0, 4),
        pos_assigned_gt_inds=torch.zeros(0, dtype=torch.long),
        pos_gt_labels=torch.zeros(0, dtype=torch.long),
    )
    logits = torch.zeros(0, 2, 8, 8, requires_grad=True)
    instances = InstanceData(masks=BitmapMasks(np.zeros((0, 32, 32), np.uint8), 32, 32), weights=torch.zeros(0))
    loss = loss_of(head, logits, [empty], [instances])
    loss.backward()
    assert loss.item() == 0.0


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match='use_mask=True'):
        WeightedFCNMaskHead(**HEAD, loss_mask={'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True})
