"""Which fields of a prediction are refined, and what else of it follows the refined masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmrefine.engine.hooks.refine_hook import _unread_fields
from mmrefine.engine.prediction_fields import find_fields


def _instances(**extra) -> InstanceData:
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[:, 1:4, 1:4] = True
    return InstanceData(masks=masks, labels=torch.tensor([0, 1]), scores=torch.tensor([0.8, 0.6]), **extra)


@pytest.mark.parametrize('name', ['background', 'Background', 'BACKGROUND', ' background ', '__background__'])
def test_a_background_of_any_case_is_no_object(name):
    label_map = torch.zeros(1, 6, 8, dtype=torch.long)
    label_map[0, 1:4, 1:4] = 1
    sample = BaseDataElement(pred_sem_seg=PixelData(data=label_map))
    [field] = find_fields(sample, (name, 'cat'), rescore=False)
    assert field.labels.tolist() == [1]
    [field] = find_fields(sample, ('road', 'cat'), rescore=False)
    assert sorted(field.labels.tolist()) == [0, 1]


def test_rescoring_reaches_the_scores_that_metrics_rank_masks_by():
    sample = BaseDataElement(pred_instances=_instances(mask_scores=torch.tensor([0.5, 0.4])))
    [field] = find_fields(sample, None, rescore=True)
    chosen = np.array([True, False])
    written = field.write(sample, chosen, field.masks[chosen], np.array([0.5])).pred_instances
    torch.testing.assert_close(written.scores, torch.tensor([0.4, 0.6]))
    torch.testing.assert_close(written.mask_scores, torch.tensor([0.25, 0.4]))
    assert sample.pred_instances.mask_scores.tolist() == [0.5, pytest.approx(0.4)]


def test_instances_beside_a_map_can_be_left_alone():
    panoptic = torch.full((1, 6, 8), 2)
    panoptic[0, 1:4, 1:4] = 1000
    sample = BaseDataElement(pred_panoptic_seg=PixelData(sem_seg=panoptic), pred_instances=_instances())
    both, one = (
        [field.name for field in find_fields(sample, ('cat', 'dog', 'sky'), False, skipped)]
        for skipped in ((), {'pred_instances'})
    )
    assert both == ['pred_panoptic_seg', 'pred_instances'] and one == ['pred_panoptic_seg']
    alone = BaseDataElement(pred_instances=_instances())
    assert [field.name for field in find_fields(alone, None, False, {'pred_instances'})] == ['pred_instances']


class CocoPanopticMetric:
    pass


class CocoMetric:
    pass


@pytest.mark.parametrize(
    'metrics, expected',
    [([CocoPanopticMetric()], {'pred_instances'}), ([CocoPanopticMetric(), CocoMetric()], set()), ([], set())],
)
def test_only_where_no_metric_reads_them(metrics, expected):
    evaluator = type('Evaluator', (), {'metrics': metrics})()
    assert _unread_fields(evaluator) == expected
