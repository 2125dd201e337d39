"""Predictions matched to the ground truth, on literal masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmrefine.evaluation import MatchedMaskMetric, match_masks


def squares(*spans: tuple[int, int]) -> np.ndarray:
    """(N, 40, 40) bool; each mask is rows 10..19 of the columns from .. to - 1."""
    masks = np.zeros((len(spans), 40, 40), bool)
    for mask, (left, right) in zip(masks, spans, strict=True):
        mask[10:20, left:right] = True
    return masks


def instances(masks: np.ndarray, labels: list[int], scores: list[float] | None = None) -> InstanceData:
    fields = {'masks': torch.from_numpy(masks), 'labels': torch.tensor(labels)}
    return InstanceData(**fields, **({} if scores is None else {'scores': torch.tensor(scores)}))


def sample(**fields: BaseDataElement) -> BaseDataElement:
    return BaseDataElement(metainfo={'img_path': 'a.jpg'}, **fields)


def evaluate(metric: MatchedMaskMetric, *samples: BaseDataElement) -> dict[str, float]:
    evaluator = Evaluator(metric)
    evaluator.process(list(samples))
    return evaluator.evaluate(len(samples))


def test_better_score_chooses_first_and_an_object_is_taken_once():
    masks, gt = squares((0, 8), (0, 10), (0, 10), (20, 30)), squares((0, 10), (20, 30))
    found, objects = match_masks(masks, np.array([1, 1, 2, 1]), np.array([0.9, 0.5, 1.0, 0.1]), gt, np.array([1, 1]))
    # The best-scoring one has the wrong class; the second is matched at IoU 0.8; the third finds its object taken.
    assert found.tolist() == [0, 3] and objects.tolist() == [0, 1]


def test_pairs_below_the_threshold_and_empty_sides():
    one = (np.array([0]), np.array([0.5]))
    assert match_masks(squares((0, 10)), *one, squares((4, 14)), np.array([0]))[0].tolist() == []  # IoU 6 / 14
    found, objects = match_masks(squares(), np.zeros(0), np.zeros(0), squares((0, 10)), np.array([0]))
    assert found.shape == objects.shape == (0,) and found.dtype == np.int64


def test_gain_and_harm_of_instances():
    """One instance becomes perfect, one is spoiled, one was never near an object."""
    coarse = instances(squares((0, 8), (20, 30), (35, 40)), [0, 1, 0], [0.9, 0.8, 0.7])
    refined = instances(squares((0, 10), (20, 25), (35, 40)), [0, 1, 0], [0.9, 0.8, 0.7])
    gt = instances(squares((0, 10), (20, 30)), [0, 1])
    metrics = evaluate(
        MatchedMaskMetric(metrics=['iou'], group_by='labels'),
        sample(pred_instances=refined, gt_instances=gt, coarse=BaseDataElement(pred_instances=coarse)),
    )
    assert metrics['num_masks'] == 2 and metrics['harm_rate'] == 0.5
    assert metrics['0/coarse/iou'] == pytest.approx(0.8) and metrics['0/refined/iou'] == 1.0
    assert metrics['1/coarse/iou'] == 1.0 and metrics['1/refined/iou'] == 0.5


def test_label_maps_are_measured_by_class_without_void():
    gt = squares((0, 10))[0].astype(np.int64)
    coarse, refined = squares((0, 5))[0].astype(np.int64), gt.copy()
    gt[:, 20:], coarse[:, 30:] = 255, 1
    parts = {
        name: PixelData(data=torch.from_numpy(array[None]))
        for name, array in (('gt_sem_seg', gt), ('pred_sem_seg', refined), ('coarse', coarse))
    }
    coarse_part = BaseDataElement(pred_sem_seg=parts.pop('coarse'))
    metrics = evaluate(MatchedMaskMetric(metrics=['iou'], classes=[1]), sample(**parts, coarse=coarse_part))
    assert metrics['num_masks'] == 1 and metrics['coarse/iou'] == 0.5 and metrics['refined/iou'] == 1.0


def test_errors_say_what_is_missing():
    metric = MatchedMaskMetric()
    prediction = instances(squares((0, 8)), [0], [0.9])
    with pytest.raises(ValueError, match='no "coarse"'):
        metric.process(None, [sample(pred_instances=prediction)])
    coarse = BaseDataElement(pred_instances=prediction)
    with pytest.raises(ValueError, match='with_mask=True'):
        metric.process(None, [sample(pred_instances=prediction, coarse=coarse)])
    with pytest.raises(ValueError, match='gt_sem_seg'):
        metric.process(None, [sample(pred_sem_seg=PixelData(data=torch.zeros(1, 4, 4)), coarse=coarse)])
