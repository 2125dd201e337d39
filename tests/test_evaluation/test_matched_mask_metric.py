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
        MatchedMaskMetric(metric=['iou'], group_by='labels'),
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
    metrics = evaluate(MatchedMaskMetric(metric=['iou'], classes=[1]), sample(**parts, coarse=coarse_part))
    assert metrics['num_masks'] == 1 and metrics['coarse/iou'] == 0.5 and metrics['refined/iou'] == 1.0


def test_every_frame_of_a_clip_is_measured():
    """Trackers' frames; the second one is spoiled."""
    gt = instances(squares((0, 10)), [0])
    frames, before = [], []
    for coarse, refined in (((0, 8), (0, 10)), ((0, 10), (0, 5))):
        tracked = instances(squares(refined), [0], [0.9])
        frames.append(sample(pred_track_instances=tracked, gt_instances=gt))
        before.append(BaseDataElement(pred_track_instances=instances(squares(coarse), [0], [0.9])))
    clip = BaseDataElement(video_data_samples=frames)
    clip.coarse = BaseDataElement(video_data_samples=before)
    metrics = evaluate(MatchedMaskMetric(metric=['iou']), clip)
    assert metrics['num_masks'] == 2 and metrics['harm_rate'] == 0.5
    assert metrics['coarse/iou'] == pytest.approx(0.9) and metrics['refined/iou'] == pytest.approx(0.75)


def panoptic(values: np.ndarray) -> PixelData:
    return PixelData(sem_seg=torch.from_numpy(values[None]))


def test_things_and_stuff_of_panoptic_maps():
    """A thing that gains, stuff that loses as much, a thing of the wrong class, void on both sides."""
    thing, wrong = squares((0, 10))[0], squares((20, 30))[0]
    truth = np.full((40, 40), 2)
    truth[thing], truth[wrong] = 0, 1
    truth[:, 38:] = 255
    maps = {}
    for side, columns in (('coarse', (0, 8)), ('refined', (0, 10))):
        values = np.full((40, 40), 2)
        values[squares(columns)[0]], values[wrong], values[30:, :] = 1000, 2000, 3
        maps[side] = values
    metric = MatchedMaskMetric(metric=['iou'], group_by='labels')
    metric.dataset_meta = {'classes': ('box', 'disk', 'ground'), 'thing_classes': ('box', 'disk')}
    image = sample(
        pred_panoptic_seg=panoptic(maps['refined']),
        gt_sem_seg=panoptic(truth),
        gt_instances=instances(np.stack([thing, wrong]), [0, 1]),
        coarse=BaseDataElement(pred_panoptic_seg=panoptic(maps['coarse'])),
    )
    metrics = evaluate(metric, image)
    assert metrics['num_masks'] == 2  # the disk was found as a box
    assert metrics['0/coarse/iou'] == pytest.approx(0.8) and metrics['0/refined/iou'] == 1.0
    ground = 38 * 40 - 200
    assert metrics['2/coarse/iou'] == pytest.approx((ground - 380) / (ground + 20))
    assert metrics['2/refined/iou'] == pytest.approx((ground - 380) / ground)
    metric.dataset_meta = None
    with pytest.raises(ValueError, match='gt_instances, gt_sem_seg and the classes.*add LoadPanopticAnnotations'):
        metric.process(None, [image])


def test_errors_say_what_is_missing():
    metric = MatchedMaskMetric()
    prediction = instances(squares((0, 8)), [0], [0.9])
    with pytest.raises(ValueError, match='needs "coarse"'):
        metric.process(None, [sample(pred_instances=prediction)])
    coarse = BaseDataElement(pred_instances=prediction)
    with pytest.raises(ValueError, match='with_mask=True'):
        metric.process(None, [sample(pred_instances=prediction, coarse=coarse)])
    with pytest.raises(ValueError, match='gt_sem_seg'):
        metric.process(None, [sample(pred_sem_seg=PixelData(data=torch.zeros(1, 4, 4)), coarse=coarse)])
