"""Predictions of MMDetection and MMSegmentation in, the same with refined masks out; without any model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmrefine.core.crops import fill_boxes, mask_boxes
from mmrefine.core.selection import MaskSelection
from mmrefine.engine.prediction_refiner import PredictionRefiner, prompted_by_box
from mmrefine.models.refiners import SAMRefiner
from mmrefine.registry import MODELS
from tests.helpers.tiny_openmmlab import BrightInBox
from tests.helpers.tiny_sam import trained_backend

SIZE_HW = (40, 50)


@pytest.fixture
def gt() -> np.ndarray:
    """Two bright objects: (2, H, W) bool."""
    masks = np.zeros((2, *SIZE_HW), bool)
    masks[0, 5:20, 5:20] = masks[1, 22:36, 28:46] = True
    return masks


@pytest.fixture
def photo(tmp_path: Path, gt: np.ndarray) -> Path:
    image = np.where(gt.any(axis=0)[..., None], (210, 180, 150), (20, 25, 30)).astype(np.uint8)
    path = tmp_path / 'photo.png'
    cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.fixture
def coarse(gt: np.ndarray) -> np.ndarray:
    """The objects with 2 px missing on each side."""
    return np.stack([cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0 for mask in gt])


def detection(det, photo, masks=None, boxes=None):
    sample = det.DetDataSample(metainfo={'img_path': str(photo), 'img_id': 1, 'ori_shape': SIZE_HW})
    count = len(masks if boxes is None else boxes)
    sample.pred_instances = InstanceData(
        bboxes=torch.zeros(count, 4) if boxes is None else torch.as_tensor(boxes, dtype=torch.float32),
        labels=torch.arange(count),
        scores=torch.linspace(0.9, 0.4, count),
        **({} if masks is None else {'masks': torch.from_numpy(masks)}),
    )
    return sample


def segmentation(seg, photo, label_map):
    sample = seg.SegDataSample(metainfo={'img_path': str(photo), 'ori_shape': SIZE_HW})
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(label_map)[None])
    sample.seg_logits = PixelData(data=torch.zeros(3, *SIZE_HW))
    return sample


def masks_of(sample) -> np.ndarray:
    return sample.pred_instances.masks.numpy()


def test_instances(det, photo, coarse, gt):
    samples = [detection(det, photo, coarse), detection(det, photo, coarse[:0]), detection(det, photo, coarse[1:])]
    refine = PredictionRefiner(BrightInBox())
    first, nothing, second = refine(samples)
    np.testing.assert_array_equal(masks_of(first), gt)
    assert masks_of(nothing).shape == (0, *SIZE_HW)
    np.testing.assert_array_equal(masks_of(second), gt[1:])
    np.testing.assert_array_equal(masks_of(samples[0]), coarse)
    assert first.pred_instances.scores is samples[0].pred_instances.scores and 'coarse' not in first
    assert refine.decisions == [('', ''), (), ('',)]


def test_chosen_masks_alone_are_refined_and_rescored(det, photo, coarse, gt):
    empty = np.zeros((1, *SIZE_HW), bool)
    sample = detection(det, photo, np.concatenate([coarse, empty]))  # scores 0.9, 0.65, 0.4
    refine = PredictionRefiner(BrightInBox(), MaskSelection(classes=(1, 2)), rescore=True, keep_coarse=True)
    [refined] = refine([sample])
    np.testing.assert_array_equal(masks_of(refined), [coarse[0], gt[1], empty[0]])
    quality = 14 * 18 / (16 * 20)  # the object in its box, grown by 3 px around what was left of it
    expected = [0.9, 0.65 * quality, 0.4]
    np.testing.assert_allclose(refined.pred_instances.scores, expected, rtol=1e-6)
    assert refined.coarse.accepted.tolist() == [True]
    np.testing.assert_array_equal(refined.coarse.pred_instances.masks, sample.pred_instances.masks)
    assert refined.coarse.pred_instances.scores is sample.pred_instances.scores


def test_the_gate_keeps_masks_and_is_counted(det, photo, coarse):
    refine = PredictionRefiner(BrightInBox(gate={'min_agreement': 0.6}), keep_coarse=True)
    [refined] = refine([detection(det, photo, coarse)])  # IoU 121/225 and 140/252: both refused
    np.testing.assert_array_equal(masks_of(refined), coarse)
    assert refined.coarse.accepted.tolist() == [False, False]
    assert len(refine.decisions[0]) == 2 and all(refine.decisions[0])


def test_refined_twice_the_model_s_masks_are_the_coarse_ones(det, photo, coarse):
    refine = PredictionRefiner(BrightInBox(), keep_coarse=True)
    [twice] = refine(refine([detection(det, photo, coarse)]))
    np.testing.assert_array_equal(twice.coarse.pred_instances.masks, coarse)
    assert twice.coarse.accepted.tolist() == [True] * 4


def test_label_maps(seg, photo, coarse, gt):
    label_map = coarse[0] * 1 + coarse[1] * 2
    sample = segmentation(seg, photo, label_map)
    [refined] = PredictionRefiner(BrightInBox(), classes=('background', 'box', 'disk'), keep_coarse=True)([sample])
    np.testing.assert_array_equal(refined.pred_sem_seg.data[0], gt[0] * 1 + gt[1] * 2)
    np.testing.assert_array_equal(sample.pred_sem_seg.data[0], label_map)
    assert refined.seg_logits is sample.seg_logits and refined.pred_sem_seg.data.dtype == torch.int64
    assert refined.coarse.pred_sem_seg is sample.pred_sem_seg


def test_without_a_class_called_background_label_0_is_refined_too(seg, photo, gt):
    sample = segmentation(seg, photo, gt[0] * 1 + gt[1] * 2)
    refine = PredictionRefiner(BrightInBox(), classes=('road', 'box', 'disk'))
    [refined] = refine([sample])
    assert len(refine.decisions[0]) == 3
    assert set(np.unique(refined.pred_sem_seg.data)) <= {0, 1, 2}


def test_label_255_is_void_unless_there_are_so_many_classes(seg, photo, gt):
    label_map = np.where(gt[0], 255, gt[1] * 1)
    for count, masks in ((3, 2), (256, 3)):
        refine = PredictionRefiner(BrightInBox(), classes=tuple(map(str, range(count))))
        [refined] = refine([segmentation(seg, photo, label_map)])
        assert len(refine.decisions[0]) == masks
    # Their own label is claimed by no one else either: void stays in the first case.
    [refined] = PredictionRefiner(BrightInBox(), classes=('a', 'b'))([segmentation(seg, photo, label_map)])
    assert ((refined.pred_sem_seg.data[0].numpy() == 255) == gt[0]).all()


def test_panoptic_maps(det, photo, coarse, gt):
    panoptic_map = np.full(SIZE_HW, 2)
    panoptic_map[coarse[0]], panoptic_map[coarse[1]] = 1000, 2001
    panoptic_map[:, :3] = 3  # void: there are three classes
    sample = det.DetDataSample(metainfo={'img_path': str(photo), 'ori_shape': SIZE_HW})
    sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(panoptic_map)[None])
    with pytest.raises(ValueError, match='needs the number of classes'):
        PredictionRefiner(BrightInBox())([sample])
    # The things alone: the ground's answer would be the bright objects.
    refine = PredictionRefiner(BrightInBox(), MaskSelection(classes=(0, 1)), ('box', 'disk', 'ground'))
    [refined] = refine([sample])
    expected = np.where(gt[0], 1000, np.where(gt[1], 2001, 2))
    expected[:, :3] = 3
    np.testing.assert_array_equal(refined.pred_panoptic_seg.sem_seg[0], expected)


def test_losses_travel_through(det, photo, coarse):
    loss = BaseDataElement(loss={'loss': 1.0})
    refined = PredictionRefiner(BrightInBox(), keep_coarse=True)([detection(det, photo, coarse), loss])
    assert refined[1] is loss


# ---- boxes ----------------------------------------------------------------------------------------------------------


def test_boxes_become_masks_by_the_box_prompt_alone(det, photo, gt):
    boxes = mask_boxes(gt).astype(np.float32)
    refiner = SAMRefiner(trained_backend(), iters=3, gate={'min_agreement': 1.0}).eval()
    [refined] = PredictionRefiner(refiner, keep_coarse=True)([detection(det, photo, boxes=boxes)])
    image = cv2.imread(str(photo))[..., ::-1]
    features = refiner.encode(np.ascontiguousarray(image))
    prompts = boxes - np.array([0, 0, 1, 1])  # SAM's boxes end with their last pixel
    logits, iou = refiner.backend.predict(features, boxes=prompts)
    best = logits[torch.arange(2), iou.argmax(dim=1)]
    expected = (refiner.backend.upscale(features.frame, best) > 0).numpy()
    assert expected.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(masks_of(refined), expected)
    np.testing.assert_array_equal(refined.coarse.pred_instances.masks.numpy(), fill_boxes(boxes, SIZE_HW))
    assert torch.equal(refined.pred_instances.bboxes, torch.from_numpy(boxes))
    assert refiner.iters == 3 and refiner.use_point and refiner.gate is not None


def test_no_boxes(det, photo):
    [refined] = PredictionRefiner(SAMRefiner(trained_backend()))([detection(det, photo, boxes=np.zeros((0, 4)))])
    assert masks_of(refined).shape == (0, *SIZE_HW)


def test_a_refiner_of_masks_refuses_boxes(det, photo):
    with pytest.raises(ValueError, match='predicts boxes without masks, but BrightInBox needs masks; use SAMRefiner'):
        prompted_by_box(BrightInBox())
    with pytest.raises(ValueError, match='boxes without masks'):
        PredictionRefiner(BrightInBox())([detection(det, photo, boxes=[[1, 1, 9, 9]])])


# ---- images ---------------------------------------------------------------------------------------------------------


def test_images_that_are_not_there(det, tmp_path, coarse):
    sample = detection(det, tmp_path / 'gone.jpg', coarse)
    with pytest.raises(FileNotFoundError, match=r"gone.jpg does not exist; masks are .* fallback='network_input'"):
        PredictionRefiner(BrightInBox())([sample])
    nameless = detection(det, '', coarse).new()
    nameless.pop('img_path')
    with pytest.raises(FileNotFoundError, match='img_path is not in its metainfo'):
        PredictionRefiner(BrightInBox())([nameless])
    nothing = detection(det, tmp_path / 'gone.jpg', coarse[:0])
    assert len(PredictionRefiner(BrightInBox())([nothing])[0].pred_instances) == 0


@pytest.mark.parametrize('kind', ['uint8 BGR', 'float BGR', 'normalized RGB'])
def test_network_input_takes_the_place_of_the_image(det, photo, coarse, gt, kind):
    image = cv2.imread(str(photo))
    scaled = cv2.resize(image, (2 * SIZE_HW[1], 2 * SIZE_HW[0]), interpolation=cv2.INTER_NEAREST)
    padded = np.full((96, 128, 3), 255, np.uint8)  # bright padding would be taken for an object
    padded[: scaled.shape[0], : scaled.shape[1]] = scaled
    inputs = torch.from_numpy(padded).permute(2, 0, 1)
    sample = detection(det, 'gone.jpg', coarse)
    sample.set_metainfo({'scale_factor': (2.0, 2.0)})
    if kind != 'uint8 BGR':
        inputs = inputs.float()
    if kind == 'normalized RGB':
        norm = {'mean': [100.0, 110, 120], 'std': [50.0, 55, 60], 'to_rgb': True}
        inputs = (inputs.flip(0) - torch.tensor(norm['mean'])[:, None, None]) / torch.tensor(norm['std'])[:, None, None]
        sample.set_metainfo({'img_norm_cfg': norm})
    seen = []
    refiner = BrightInBox()
    refine_image = refiner._refine_image
    refiner._refine_image = lambda item: seen.append(item.image) or refine_image(item)
    [refined] = PredictionRefiner(refiner, fallback='network_input')([sample], {'inputs': [inputs]})
    np.testing.assert_array_equal(masks_of(refined), gt)
    # In the middle of the first object nothing is blurred: RGB comes back within rounding.
    np.testing.assert_allclose(seen[0][12, 12], (210, 180, 150), atol=1)


def test_network_inputs_that_cannot_be_used(det, coarse):
    sample = detection(det, 'gone.jpg', coarse)
    refine = PredictionRefiner(BrightInBox(), fallback='network_input')
    with pytest.raises(ValueError, match='needs one unflipped image per prediction'):
        refine([sample], {'inputs': [[torch.zeros(3, 8, 8)], [torch.zeros(3, 8, 8)]]})
    with pytest.raises(ValueError, match='needs one unflipped image per prediction'):
        refine([sample])
    with pytest.raises(ValueError, match='from -1 to 1, expected 0 to 255 without img_norm_cfg'):
        refine([sample], {'inputs': [torch.linspace(-1, 1, 3 * 64).view(3, 8, 8)]})


# ---- what does not fit ----------------------------------------------------------------------------------------------


def test_predictions_of_another_size_than_the_image(det, photo, coarse):
    with pytest.raises(ValueError, match=r'pred_instances is 20x25 \(HxW\), but the image .*photo.png is 40x50'):
        PredictionRefiner(BrightInBox())([detection(det, photo, np.ascontiguousarray(coarse[:, ::2, ::2]))])


def test_nothing_to_refine(det, photo):
    with pytest.raises(ValueError, match=r'none of pred_instances, .* got fields \[\]'):
        PredictionRefiner(BrightInBox())([det.DetDataSample(metainfo={'img_path': str(photo)})])


def test_autocast_around_does_not_reach_the_refiner(det, photo, coarse):
    refiner = MODELS.build({'type': 'BrightInBox'})
    seen = []
    refine_image = refiner._refine_image
    refiner._refine_image = lambda item: seen.append(torch.is_autocast_enabled('cpu')) or refine_image(item)
    with torch.autocast('cpu', torch.bfloat16):
        PredictionRefiner(refiner)([detection(det, photo, coarse)])
        assert torch.is_autocast_enabled('cpu')
    assert seen == [False]
