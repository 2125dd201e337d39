"""Masks in and out of real data samples of MMDetection and MMSegmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmrefine.core.rle import encode_rle
from mmrefine.structures import (
    boxes_from_det,
    det_with_masks,
    det_with_panoptic_map,
    label_map_from_seg,
    masks_from_det,
    panoptic_map_from_det,
    seg_with_label_map,
    with_field,
)


def masks(count: int = 2) -> np.ndarray:
    planes = np.zeros((count, 6, 8), bool)
    for index, plane in enumerate(planes):
        plane[1 : 3 + index, 2:5] = True
    return planes


def prediction(det, given) -> object:
    sample = det.DetDataSample(metainfo={'img_path': 'x.jpg', 'ori_shape': (6, 8)})
    sample.pred_instances = InstanceData(
        masks=given, bboxes=torch.rand(2, 4), labels=torch.tensor([3, 1]), scores=torch.tensor([0.9, 0.4])
    )
    return sample


@pytest.mark.parametrize('kind', ['tensor', 'array', 'BitmapMasks', 'RLE'])
def test_masks_come_out_of_a_detection(det, kind):
    given = {'tensor': torch.from_numpy(masks()), 'array': masks()}.get(kind)
    if kind == 'BitmapMasks':
        from mmdet.structures.mask import BitmapMasks

        given = BitmapMasks(masks().astype(np.uint8), 6, 8)
    if kind == 'RLE':
        given = [encode_rle(mask) for mask in masks()]
    found, labels, scores = masks_from_det(prediction(det, given))
    np.testing.assert_array_equal(found, masks())
    assert found.dtype == bool and labels.tolist() == [3, 1]
    np.testing.assert_allclose(scores, [0.9, 0.4], rtol=1e-6)


def test_rle_that_cannot_be_used(det):
    with pytest.raises(ValueError, match='pred_instances.masks cannot be used: '):
        masks_from_det(prediction(det, [{'counts': [48]}, {'size': [6, 8], 'counts': [47]}]))


@pytest.mark.parametrize(
    ('given', 'sentence'),
    [
        (masks()[0], r'expected shape \(N, H, W\) with one mask per prediction, got \(6, 8\)'),
        (torch.from_numpy(masks()[:, None]), r'expected shape \(N, H, W\) .* got \(2, 1, 6, 8\)'),
        ([encode_rle(masks()[0]), encode_rle(masks()[1, :, :5])], r'same size, .* got \[\(6, 5\), \(6, 8\)\]'),
        ([masks()[0], masks()[1, :5]], r'same size, .* got \[\(5, 8\), \(6, 8\)\]'),
    ],
    ids=['one mask', 'channels', 'RLE of two sizes', 'arrays of two sizes'],
)
def test_masks_of_other_shapes(det, given, sentence):
    sample = det.DetDataSample(metainfo={'img_path': 'x.jpg', 'ori_shape': (6, 8)})
    sample.pred_instances = InstanceData(masks=given)
    with pytest.raises(ValueError, match=f'pred_instances.masks cannot be used: .*{sentence}'):
        masks_from_det(sample)


def test_no_detections_have_masks_of_the_size_of_the_image(det):
    sample = det.DetDataSample(metainfo={'img_path': 'x.jpg', 'ori_shape': (6, 8)})
    sample.pred_instances = InstanceData(masks=[], labels=torch.zeros(0), scores=torch.zeros(0))
    assert masks_from_det(sample)[0].shape == (0, 6, 8)


def test_soft_masks_of_a_detection_are_cut_at_one_half(det):
    distance_px = np.hypot(*(np.mgrid[:60, :60] - 30))
    soft = np.stack([1 / (1 + np.exp((distance_px - radius) / 4)) for radius in (12, 18)]).astype(np.float32)
    sharp = soft >= 0.5
    for given in (soft, np.rint(soft * 255).astype(np.uint8)):
        found, _, _ = masks_from_det(prediction(det, torch.from_numpy(given)))
        np.testing.assert_array_equal(found, sharp)
    assert (soft > 0).all()  # at > 0 every pixel would be in
    with pytest.raises(ValueError, match='apply a sigmoid to logits'):
        masks_from_det(prediction(det, torch.from_numpy(soft * 20 - 10)))


def test_other_masks_go_in_and_the_rest_stays(det):
    sample = prediction(det, torch.from_numpy(masks()))
    other = ~masks()
    changed = det_with_masks(sample, other)
    np.testing.assert_array_equal(changed.pred_instances.masks.numpy(), other)
    np.testing.assert_array_equal(sample.pred_instances.masks.numpy(), masks())
    assert torch.equal(changed.pred_instances.bboxes, sample.pred_instances.bboxes)
    assert changed.img_path == 'x.jpg' and type(changed) is type(sample)
    with pytest.raises(ValueError, match='one mask per prediction, 2, got 1'):
        det_with_masks(sample, other[:1])


def test_other_scores_go_in_too(det):
    sample = prediction(det, torch.from_numpy(masks()))
    sample.pred_instances.scores = sample.pred_instances.scores.bfloat16()
    changed = det_with_masks(sample, masks(), np.array([0.5, 0.25]))
    assert changed.pred_instances.scores.tolist() == [0.5, 0.25]
    assert changed.pred_instances.scores.dtype == torch.float32
    assert det_with_masks(sample, masks()).pred_instances.scores.numpy() == pytest.approx([0.9, 0.4], abs=0.004)
    np.testing.assert_allclose(masks_from_det(sample)[2], [0.9, 0.4], atol=0.004)  # bfloat16 has 8 bits


def test_boxes_come_out_of_a_detection(det):
    from mmdet.structures.bbox import HorizontalBoxes

    sample = prediction(det, torch.from_numpy(masks()))
    given = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7.5]])
    for kind in (torch.Tensor, HorizontalBoxes):
        sample.pred_instances.bboxes = given if kind is torch.Tensor else HorizontalBoxes(given)
        boxes, labels, scores = boxes_from_det(sample)
        np.testing.assert_array_equal(boxes, given)
        assert labels.tolist() == [3, 1] and scores.shape == (2,)
    sample.pred_instances.bboxes = torch.zeros(2, 5)
    with pytest.raises(ValueError, match=r'expected upright boxes \(N, 4\) as xyxy .* got shape \(2, 5\)'):
        boxes_from_det(sample)
    with pytest.raises(ValueError, match='no pred_instances.bboxes; expected the prediction of a detector'):
        boxes_from_det(det.DetDataSample())


def test_a_copy_with_a_field_leaves_its_source_alone(det):
    sample = prediction(det, torch.from_numpy(masks()))
    changed = with_field(sample, 'note', 'x')
    assert changed.note == 'x' and 'note' not in sample and sample.keys() == ['pred_instances']
    assert changed.pred_instances is sample.pred_instances


def test_panoptic_maps(det):
    sample = det.DetDataSample(metainfo={'img_path': 'x.jpg'})
    given = torch.tensor([[[0, 1001], [2003, 4]]], dtype=torch.int32)
    sample.pred_panoptic_seg = PixelData(sem_seg=given, metainfo={'ignore_index': 9})
    found = panoptic_map_from_det(sample)
    np.testing.assert_array_equal(found, given[0])
    changed = det_with_panoptic_map(sample, found + 1)
    np.testing.assert_array_equal(changed.pred_panoptic_seg.sem_seg, given + 1)
    np.testing.assert_array_equal(sample.pred_panoptic_seg.sem_seg, given)
    assert changed.pred_panoptic_seg.sem_seg.dtype == torch.int32
    assert changed.pred_panoptic_seg.metainfo == {'ignore_index': 9} and changed.img_path == 'x.jpg'
    with pytest.raises(ValueError, match=r'a label map of \(2, 2\) \(H, W\), got \(1, 2\)'):
        det_with_panoptic_map(sample, found[:1])
    with pytest.raises(ValueError, match='no pred_panoptic_seg; expected the prediction of a panoptic'):
        panoptic_map_from_det(det.DetDataSample())


def test_detections_without_masks_are_named(det):
    sample = det.DetDataSample()
    with pytest.raises(ValueError, match='no pred_instances.masks; expected the prediction of an instance'):
        masks_from_det(sample)
    sample.pred_instances = InstanceData(scores=torch.rand(1))
    with pytest.raises(ValueError, match=r"got fields \['scores'\]"):
        masks_from_det(sample)


def test_no_detections(det):
    sample = det.DetDataSample()
    sample.pred_instances = InstanceData(
        masks=torch.zeros(0, 6, 8, dtype=torch.bool), labels=torch.zeros(0), scores=torch.zeros(0)
    )
    found, _, _ = masks_from_det(sample)
    assert found.shape == (0, 6, 8)
    assert det_with_masks(sample, found).pred_instances.masks.shape == (0, 6, 8)


def test_label_maps_of_mmdetection(det):
    sample = det.DetDataSample()
    sample.pred_sem_seg = PixelData(sem_seg=torch.tensor([[[0, 1, 2]]], dtype=torch.int32))
    changed = seg_with_label_map(sample, label_map_from_seg(sample) + 1)
    assert changed.pred_sem_seg.sem_seg.tolist() == [[[1, 2, 3]]] and changed.pred_sem_seg.keys() == ['sem_seg']


def test_label_maps(seg):
    label_map = np.arange(48).reshape(6, 8) % 5
    sample = seg.SegDataSample(metainfo={'img_path': 'x.jpg'})
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(label_map)[None])
    np.testing.assert_array_equal(label_map_from_seg(sample), label_map)
    changed = seg_with_label_map(sample, label_map.astype(np.uint8) + 1)
    np.testing.assert_array_equal(label_map_from_seg(changed), label_map + 1)
    np.testing.assert_array_equal(label_map_from_seg(sample), label_map)
    assert changed.pred_sem_seg.data.dtype == sample.pred_sem_seg.data.dtype and changed.img_path == 'x.jpg'
    with pytest.raises(ValueError, match=r'a label map of \(6, 8\) \(H, W\), got \(8, 6\)'):
        seg_with_label_map(sample, label_map.T)
    with pytest.raises(ValueError, match='no pred_sem_seg'):
        label_map_from_seg(seg.SegDataSample())
