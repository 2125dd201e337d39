"""A real detector and a real segmentor, from the configs that MMDetection and MMSegmentation install, on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.hub import get_config
from mmengine.structures import InstanceData, PixelData

from mmrefine.compat import setup

setup()
SIZE_HW = (96, 128)


def small_image() -> torch.Tensor:
    """(3, H, W) uint8, dark with one bright rectangle at rows 24..71 and columns 32..95."""
    image = torch.full((3, *SIZE_HW), 40, dtype=torch.uint8)
    image[:, 24:72, 32:96] = 200
    return image


def total(losses: dict) -> torch.Tensor:
    terms = (value for name, value in losses.items() if 'loss' in name)
    return sum(sum(term) if isinstance(term, list) else term for term in terms)


def assert_trains(model: torch.nn.Module, losses: dict) -> None:
    total(losses).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)


def test_mask_rcnn_trains_and_predicts():
    pytest.importorskip('mmdet')
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    torch.manual_seed(0)
    config = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py').model
    config.backbone.init_cfg = None
    for phase in (config.train_cfg.rpn_proposal, config.test_cfg.rpn):
        phase.update(nms_pre=100, max_per_img=20)
    config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=5)
    model = MODELS.build(config | {'_scope_': 'mmdet'})
    model.init_weights()

    mask = small_image()[0].numpy() > 100
    instances = InstanceData(
        bboxes=torch.tensor([[32.0, 24, 96, 72]]), labels=torch.tensor([3]), masks=BitmapMasks(mask[None], *SIZE_HW)
    )
    sample = DetDataSample(
        gt_instances=instances,
        metainfo={
            'img_shape': SIZE_HW,
            'ori_shape': SIZE_HW,
            'batch_input_shape': SIZE_HW,
            'pad_shape': SIZE_HW,
            'scale_factor': (1.0, 1.0),
        },
    )
    losses = model(**model.data_preprocessor({'inputs': [small_image()], 'data_samples': [sample]}, True), mode='loss')
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(losses)
    [through_roi_align] = torch.autograd.grad(
        losses['loss_mask'], model.neck.fpn_convs[0].conv.weight, retain_graph=True
    )
    assert torch.isfinite(through_roi_align).all() and through_roi_align.abs().sum() > 0
    assert_trains(model, losses)

    model.eval()
    [prediction] = model.test_step({'inputs': [small_image()], 'data_samples': [sample]})
    found = prediction.pred_instances
    assert 0 < len(found) <= 5
    assert tuple(found.masks.shape[1:]) == SIZE_HW and found.masks.dtype == torch.bool
    assert (found.scores.diff() <= 0).all()  # nms answers by falling score


def with_plain_norm(config: dict) -> None:
    """Replaces SyncBN, which needs a GPU, everywhere in a config."""
    for value in config.values():
        if isinstance(value, dict):
            if value.get('type') == 'SyncBN':
                value['type'] = 'BN'
            with_plain_norm(value)


def test_deeplabv3plus_trains_and_predicts():
    pytest.importorskip('mmseg')
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    config = get_config('mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py').model
    with_plain_norm(config)
    config.pretrained = None
    config.data_preprocessor.size = SIZE_HW
    model = MODELS.build(config | {'_scope_': 'mmseg'})
    model.init_weights()

    label_map = torch.from_numpy(np.where(small_image()[0].numpy() > 100, 11, 0))
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=label_map[None]), metainfo={'img_shape': SIZE_HW, 'ori_shape': SIZE_HW}
    )
    batch = {'inputs': [small_image()] * 2, 'data_samples': [sample, sample.clone()]}
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert {'decode.loss_ce', 'aux.loss_ce'} <= set(losses)
    assert_trains(model, losses)

    model.eval()
    [prediction] = model.test_step({'inputs': [small_image()], 'data_samples': [sample]})
    assert tuple(prediction.pred_sem_seg.data.shape) == (1, *SIZE_HW)
    assert prediction.seg_logits.data.shape[0] == 19
