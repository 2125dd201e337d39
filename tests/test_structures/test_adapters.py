"""Masks in and out of real data samples of MMDetection and MMSegmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmrefine import compat
from mmrefine.structures import det_with_masks, label_map_from_seg, masks_from_det, seg_with_label_map


@pytest.fixture(scope='module')
def det():
    compat.setup()
    return pytest.importorskip('mmdet.structures')


@pytest.fixture(scope='module')
def seg():
    compat.setup()
    return pytest.importorskip('mmseg.structures')


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


@pytest.mark.parametrize('kind', ['tensor', 'array', 'BitmapMasks'])
def test_masks_come_out_of_a_detection(det, kind):
    given = {'tensor': torch.from_numpy(masks()), 'array': masks()}.get(kind)
    if kind == 'BitmapMasks':
        from mmdet.structures.mask import BitmapMasks

        given = BitmapMasks(masks().astype(np.uint8), 6, 8)
    found, labels, scores = masks_from_det(prediction(det, given))
    np.testing.assert_array_equal(found, masks())
    assert found.dtype == bool and labels.tolist() == [3, 1]
    np.testing.assert_allclose(scores, [0.9, 0.4], rtol=1e-6)


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
