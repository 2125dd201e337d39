"""Teacher and student: refined masks arrive in the student's view where the object is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmrefine.compat import setup

setup()
pytest.importorskip('mmdet')

from mmcv.transforms import Compose  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402
from mmengine.hub import get_config  # noqa: E402

import mmrefine.models.detectors  # noqa: E402, F401
from mmrefine.core.rle import decode_segmentation  # noqa: E402
from tests.helpers import bright_refiner  # noqa: E402, F401
from tests.helpers.tiny_mask_rcnn import CLASSES, SIZE_HW, VIEW_META, mask_rcnn, write_images  # noqa: E402
from tests.helpers.tiny_openmmlab import panoptic_fpn  # noqa: E402

BRIGHT = {'type': 'mmrefine.BrightRefiner', 'reach_px': 5}
EVERYTHING = {'min_score': 0.0, 'min_quality': 0.0, 'min_agreement': 0.0, 'min_area_px': 1}


def build(refiner: dict | None = BRIGHT, label_filter: dict | None = None, detector: dict | None = None):
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    detector = detector or mask_rcnn()
    model = MODELS.build(
        dict(
            type='mmrefine.MaskTeacher',
            detector=detector,
            refiner=refiner,
            label_filter=label_filter or {'min_score': 0.5, 'min_quality': 0.3, 'min_agreement': 0.3},
            semi_train_cfg={'unsup_weight': 2.0},
            data_preprocessor={
                'type': 'mmdet.MultiBranchDataPreprocessor',
                'data_preprocessor': detector.data_preprocessor,
            },
        )
    )
    return model


@pytest.fixture
def photograph(tmp_path) -> tuple[str, np.ndarray]:
    """Path of one image, and its ground-truth masks (2, H, W)."""
    content = write_images(tmp_path, 1)
    masks = [decode_segmentation(annotation['segmentation'], SIZE_HW) for annotation in content['annotations']]
    return str(tmp_path / '0.png'), np.stack(masks)


def view(path: str, *transforms: dict) -> dict:
    """One branch of a pipeline."""
    pipeline = [
        {'type': 'LoadImageFromFile'},
        {'type': 'LoadEmptyAnnotations', 'with_bbox': True},
        *transforms,
        {'type': 'PackDetInputs', 'meta_keys': VIEW_META},
    ]
    return Compose(pipeline)({'img_path': path, 'img_id': 0})


def resize(scale: float) -> dict:
    return {'type': 'Resize', 'scale_factor': scale, 'keep_ratio': True}


def flip(direction: str) -> dict:
    return {'type': 'RandomFlip', 'prob': 1.0, 'direction': direction}


def batch(model, *views: dict) -> tuple[torch.Tensor, list[DetDataSample]]:
    data = {'inputs': [v['inputs'] for v in views], 'data_samples': [v['data_samples'] for v in views]}
    data = model.data_preprocessor.data_preprocessor(data, True)
    return data['inputs'], data['data_samples']


def answer(model, masks: np.ndarray, scores: list[float]) -> None:
    """Have the teacher predict these masks, whatever it sees."""

    def predict(inputs, samples, rescale):
        for sample in samples:
            sample.pred_instances = InstanceData(
                masks=torch.from_numpy(masks),
                labels=torch.arange(len(masks)) % len(CLASSES),
                scores=torch.tensor(scores),
                bboxes=torch.zeros(len(masks), 4),
            )
        return samples

    model.teacher.predict = predict


def masks_of(student: DetDataSample) -> np.ndarray:
    """Masks in the student's view, without the padding of the batch, which is empty."""
    masks = student.gt_instances.masks.masks
    assert masks.shape[1:] == student.batch_input_shape
    height, width = student.img_shape[:2]
    assert not masks[:, height:].any() and not masks[:, :, width:].any()
    return masks[:, :height, :width]


def shrunk(masks: np.ndarray) -> np.ndarray:
    """Masks that miss 3 px on every side: what a coarse prediction is like."""
    kernel = np.ones((7, 7), np.uint8)
    return np.stack([cv2.erode(mask.astype(np.uint8), kernel) > 0 for mask in masks])


@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
def test_masks_reach_a_flipped_student_exactly(photograph, direction):
    """Teacher upright with coarse masks; what the student gets is the true object in its own flipped image."""
    path, gt = photograph
    model = build()
    inputs, teacher = batch(model, view(path, resize(1.0)))
    _, student = batch(model, view(path, resize(1.0), flip(direction)))
    answer(model, shrunk(gt), [0.9, 0.8])
    [student] = model.project_pseudo_instances(model.get_pseudo_instances(inputs, teacher)[0], student)
    flips = {'horizontal': np.s_[:, :, ::-1], 'vertical': np.s_[:, ::-1], 'diagonal': np.s_[:, ::-1, ::-1]}
    expected = gt[flips[direction]]
    np.testing.assert_array_equal(masks_of(student).astype(bool), expected)
    for box, mask in zip(student.gt_instances.bboxes.tolist(), expected, strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_masks_reach_a_scaled_and_flipped_student(photograph):
    """Teacher doubled and flipped, student upright: ground-truth masks but for the rounding of the border."""
    path, gt = photograph
    model = build(refiner=None)
    inputs, teacher = batch(model, view(path, resize(2.0), flip('horizontal')))
    _, student = batch(model, view(path, resize(1.0)))
    doubled = gt.repeat(2, axis=1).repeat(2, axis=2)[:, :, ::-1]
    answer(model, np.ascontiguousarray(doubled), [0.9, 0.8])
    [student] = model.project_pseudo_instances(model.get_pseudo_instances(inputs, teacher)[0], student)
    # Every 2 x 2 block is of one value, so halving is exact.
    np.testing.assert_array_equal(masks_of(student).astype(bool), gt)


def test_masks_follow_mmdets_rotation(photograph):
    """The image itself says where the object is in a rotated view: bright pixels."""
    path, gt = photograph
    model = build(refiner=None)
    inputs, teacher = batch(model, view(path, resize(1.0)))
    rotate = {'type': 'Rotate', 'prob': 1.0, 'level': 5, 'img_border_value': 0}
    rotated = view(path, resize(1.0), rotate)
    bright = rotated['inputs'].float().mean(dim=0).numpy() > 110
    _, student = batch(model, rotated)
    answer(model, gt, [0.9, 0.8])
    [student] = model.project_pseudo_instances(model.get_pseudo_instances(inputs, teacher)[0], student)
    found = masks_of(student).astype(bool).any(axis=0)
    # MMDetection rotates about the centre of pixels and records it as if about their corners: up to half a pixel.
    assert np.count_nonzero(found & bright) / np.count_nonzero(found | bright) > 0.93


def test_the_view_is_what_the_pipeline_loaded(photograph):
    path, _ = photograph
    model = build()
    one = view(path, resize(1.0))
    inputs, _ = batch(model, one)
    image = model._view_image(inputs[0], SIZE_HW)
    np.testing.assert_array_equal(image, one['inputs'].flip(0).permute(1, 2, 0).numpy())  # loaded as BGR


def test_uncertain_labels_are_ignored_or_dropped(photograph):
    path, gt = photograph
    model = build(label_filter={'min_score': 0.7, 'ignore_score': 0.3, 'min_quality': 0.3, 'min_agreement': 0.3})
    inputs, teacher = batch(model, view(path, resize(1.0)))
    _, student = batch(model, view(path, resize(1.0)))
    answer(model, shrunk(gt)[[0, 1, 0]], [0.8, 0.4, 0.1])
    samples, info = model.get_pseudo_instances(inputs, teacher)
    [student] = model.project_pseudo_instances(samples, student)
    assert student.gt_instances.scores.tolist() == pytest.approx([0.8])
    assert student.ignored_instances.scores.tolist() == pytest.approx([0.4])
    assert info['best_score'] == pytest.approx(0.8)


def test_objects_out_of_the_students_view_are_left_out(photograph):
    path, gt = photograph
    model = build(refiner=None)
    inputs, teacher = batch(model, view(path, resize(1.0)))
    cropped = view(path, resize(1.0))
    shift = np.array([[1.0, 0, -32], [0, 1, 0], [0, 0, 1]])  # all of the box is left of column 32
    cropped['data_samples'].set_metainfo({'homography_matrix': shift})
    _, student = batch(model, cropped)
    answer(model, gt, [0.9, 0.8])
    [student] = model.project_pseudo_instances(model.get_pseudo_instances(inputs, teacher)[0], student)
    assert student.gt_instances.labels.tolist() == [1]
    np.testing.assert_array_equal(masks_of(student)[0, :, :32], gt[1, :, 32:])


def multi_branch(model, path: str, *transforms: dict) -> dict:
    """Inputs and samples of the three branches, the labelled one with one box."""
    inputs, samples = {}, {}
    for branch in ('sup', 'unsup_teacher', 'unsup_student'):
        x, [sample] = batch(model, view(path, *(transforms or [resize(1.0)])))
        inputs[branch], samples[branch] = x, [sample]
    size_hw = inputs['sup'].shape[-2:]
    mask = np.zeros((1, *size_hw), np.uint8)
    mask[:, 6:30, 4:26] = 1
    samples['sup'][0].gt_instances = InstanceData(
        bboxes=torch.tensor([[4.0, 6, 26, 30]]), labels=torch.tensor([0]), masks=BitmapMasks(mask, *size_hw)
    )
    return {'multi_batch_inputs': inputs, 'multi_batch_data_samples': samples}


def test_student_learns_from_masks_and_not_from_nothing(photograph):
    path, gt = photograph
    model = build()
    answer(model, shrunk(gt), [0.9, 0.8])
    losses = model.loss(**multi_branch(model, path))
    assert {'sup_loss_mask', 'unsup_loss_mask'} <= set(losses) and losses['unsup_loss_mask'] > 0
    stats = model.last_pseudo_labels
    assert stats.num_labels == 2 and 0 < stats.mean_quality <= 1 and stats.best_score == pytest.approx(0.9)

    answer(model, gt[:0], [])
    losses = model.loss(**multi_branch(model, path))
    assert model.last_pseudo_labels == (0, 0.0, 0.0)
    unsupervised = [value for key, value in losses.items() if key.startswith('unsup') and 'loss' in key]
    assert all(float(sum(v).detach() if isinstance(v, list) else v.detach()) == 0.0 for v in unsupervised)
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.student.parameters() if p.grad is not None)


def test_refiner_is_in_no_checkpoint_and_not_trained():
    model, plain = build(), build(refiner=None)
    assert set(model.state_dict()) == set(plain.state_dict())
    assert not any(p is model.refiner.threshold for p in model.parameters())


def test_a_real_teacher_through_the_whole_step(photograph):
    """Random weights, every prediction taken: shapes and devices of the real path."""
    path, _ = photograph
    model = build(label_filter=EVERYTHING)
    losses = model.loss(**multi_branch(model, path))
    assert torch.isfinite(losses['unsup_loss_mask'])


def solov2() -> ConfigDict:
    """SOLOv2, which answers in the size of the original image whatever it is asked."""
    model = get_config('mmdet::solov2/solov2_r50_fpn_1x_coco.py').model
    _shrink(model)
    model.mask_head.update(num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1, num_grids=[8, 8, 6, 4, 4])
    model.mask_head.mask_feature_head.update(feat_channels=8, out_channels=16)
    model.mask_head.mask_feature_head.norm_cfg.num_groups = 4
    model.mask_head.norm_cfg = {'type': 'GN', 'num_groups': 4}
    model.test_cfg.update(score_thr=0.0, filter_thr=0.0, max_per_img=4)
    return model


def rtmdet_ins() -> ConfigDict:
    """RTMDet-Ins, which answers in the size of the padded batch unless it is to rescale."""
    model = get_config('mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py').model
    norm = {'type': 'BN'}
    model.backbone.update(deepen_factor=0.167, widen_factor=0.125, norm_cfg=norm, init_cfg=None)
    model.neck.update(in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1, norm_cfg=norm)
    model.bbox_head.update(num_classes=2, in_channels=16, feat_channels=16, norm_cfg=norm)
    model.data_preprocessor.update(batch_augments=None, pad_size_divisor=32)
    model.test_cfg.update(score_thr=0.0, max_per_img=4, min_bbox_size=-1)
    return model


def mask2former() -> ConfigDict:
    model = get_config('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py').model
    model.backbone.update(
        depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, norm_cfg={'type': 'BN'}, init_cfg=None
    )
    head = model.panoptic_head
    width = 16
    head.update(in_channels=[8, 16, 32, 64], feat_channels=width, out_channels=width, num_things_classes=2,
                num_stuff_classes=0, num_queries=5)  # fmt: skip
    head.pixel_decoder.norm_cfg.num_groups = 4
    layers = head.pixel_decoder.encoder.layer_cfg
    layers.self_attn_cfg.update(embed_dims=width, num_heads=2)
    layers.ffn_cfg.update(embed_dims=width, feedforward_channels=16)
    head.pixel_decoder.encoder.num_layers = 1
    head.pixel_decoder.positional_encoding.num_feats = width // 2
    head.positional_encoding.num_feats = width // 2
    layers = head.transformer_decoder.layer_cfg
    for part in (layers.self_attn_cfg, layers.cross_attn_cfg):
        part.update(embed_dims=width, num_heads=2)
    layers.ffn_cfg.update(embed_dims=width, feedforward_channels=16)
    head.transformer_decoder.num_layers = 1
    head.loss_cls.class_weight = [1.0, 1.0, 0.1]
    model.panoptic_fusion_head.update(num_things_classes=2, num_stuff_classes=0)
    model.train_cfg.num_points = 64
    model.test_cfg.max_per_image = 4
    model.data_preprocessor.batch_augments = None
    return model


def _shrink(model: ConfigDict) -> None:
    model.backbone.update(
        depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, norm_cfg={'type': 'BN'}, init_cfg=None
    )
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=8)


@pytest.mark.parametrize('detector', [mask_rcnn, solov2, rtmdet_ins, mask2former])
def test_detectors_that_teach(photograph, detector):
    """Real heads on a resized, padded view: masks come in the size of the view, and the student learns."""
    path, _ = photograph
    model = build(label_filter=EVERYTHING, detector=detector())
    data = multi_branch(model, path, resize(1.3))
    size_hw = data['multi_batch_data_samples']['unsup_teacher'][0].img_shape
    assert size_hw not in (SIZE_HW, data['multi_batch_inputs']['unsup_teacher'].shape[-2:])
    candidates = []
    choose = model._candidates
    model._candidates = lambda sample: candidates.append(choose(sample)) or candidates[-1]
    losses = model.loss(**data)
    assert len(candidates[0]) and tuple(candidates[0].masks.shape[1:]) == size_hw
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    assert torch.isfinite(total)
    total.backward()


def test_a_student_that_needs_semantic_maps(photograph):
    path, gt = photograph
    model = build(detector=panoptic_fpn())
    answer(model, shrunk(gt), [0.9, 0.8])
    branches = multi_branch(model, path)
    inputs, teacher = (branches[key]['unsup_student'] for key in ('multi_batch_inputs', 'multi_batch_data_samples'))
    samples, info = model.get_pseudo_instances(inputs, teacher)
    samples = model.project_pseudo_instances(samples, samples)
    with pytest.raises(ValueError, match='PanopticFPN learns from more than .*gt_sem_seg.*without a semantic branch'):
        model.loss_by_pseudo_instances(inputs, samples, info)


FAMILIES = [
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco',
    'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance',
    'htc/htc-without-semantic_r50_fpn_1x_coco',
    'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco',
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco',
    'solo/decoupled-solo-light_r50_fpn_3x_coco',
    'solo/decoupled-solo_r50_fpn_1x_coco',
    'solo/solo_r50_fpn_1x_coco',
    'yolact/yolact_r50_1xb8-55e_coco',
]


def without_files(config: ConfigDict) -> None:
    """No pretrained weights, and every prediction whatever its score."""
    for key, value in config.items():
        if key == 'pretrained' or (key == 'init_cfg' and value and 'checkpoint' in value):
            config[key] = None
        elif key in ('score_thr', 'filter_thr'):
            config[key] = 0.0
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                without_files(part)


@pytest.mark.slow
@pytest.mark.parametrize('config', FAMILIES)
def test_families_that_teach(photograph, config):
    """MMDetection's other instance segmentation models in full size, with random weights."""
    detector = get_config(f'mmdet::{config}.py').model
    without_files(detector)
    model = build(BRIGHT, EVERYTHING, detector)
    model.init_weights()
    losses = model.loss(**multi_branch(model, photograph[0], resize(1.3)))
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    total.backward()
    assert torch.isfinite(total) and model.last_pseudo_labels.num_labels > 0


def test_wrong_teachers_and_pipelines(photograph):
    path, gt = photograph
    model = build()
    inputs, samples = batch(model, view(path, resize(2.0)))
    answer(model, gt, [0.9, 0.8])
    with pytest.raises(ValueError, match=r'expected masks in the size of the view, \(96, 128\) .* got \(48, 64\)'):
        model.get_pseudo_instances(inputs, samples)

    boxes_only = InstanceData(bboxes=torch.zeros(1, 4), scores=torch.ones(1), labels=torch.zeros(1))
    samples[0].pred_instances = boxes_only
    model.teacher.predict = lambda inputs, samples, rescale: samples
    with pytest.raises(ValueError, match=r"predicts masks of instances, .* got \['bboxes', 'labels', 'scores'\]"):
        model.get_pseudo_instances(inputs, samples)

    def maps_only(inputs, samples, rescale):  # as MaskFormer by default
        for sample in samples:
            del sample.pred_instances
            sample.pred_panoptic_seg = PixelData(sem_seg=torch.zeros(1, *SIZE_HW))
        return samples

    model.teacher.predict = maps_only
    with pytest.raises(ValueError, match=r"predicts masks of instances, .* got \[.*'pred_panoptic_seg'\]"):
        model.get_pseudo_instances(inputs, samples)

    answer(model, gt, [0.9, 0.8])
    inputs, teacher = batch(model, view(path, resize(1.0)))
    _, student = batch(model, view(path, resize(1.0)))
    student[0].set_metainfo({'homography_matrix': None})
    with pytest.raises(ValueError, match='homography_matrix'):
        model.project_pseudo_instances(model.get_pseudo_instances(inputs, teacher)[0], student)
