"""Tiny models of MMDetection and MMSegmentation with random weights, and the data and Runners to run them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hub import get_config
from mmengine.registry import METRICS
from mmengine.runner import Runner

from mmrefine.core.crops import mask_boxes, pad_boxes
from mmrefine.core.rle import encode_rle
from mmrefine.models.refiners import BaseRefiner, Proposal, RefineInput
from mmrefine.registry import MODELS

SIZE_HW = (60, 80)
CLASSES = ('box', 'disk')
STUFF = ('ground',)
REFINER = {'type': 'mmrefine.BrightInBox', 'gate': {'min_score': 0.5}}
_numbers = count()


@MODELS.register_module()
class BrightInBox(BaseRefiner):
    """The bright pixels in the tight box of a mask and 3 px around; the score is their share in that box."""

    def __init__(self, gate: dict | None = None):
        super().__init__(gate)
        self.threshold = torch.nn.Parameter(torch.tensor([100.0]))

    def forward(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError('this refiner has nothing to learn')

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[Proposal]:
        return [self._refine_image(item) for item in inputs]

    def _refine_image(self, item: RefineInput) -> Proposal:
        refined, scores = np.zeros_like(item.masks), np.zeros(len(item.masks))
        bright = item.image.mean(axis=2) > self.threshold.item()
        for index, (x1, y1, x2, y2) in enumerate(pad_boxes(mask_boxes(item.masks), bright.shape, margin_px=3)):
            refined[index, y1:y2, x1:x2] = bright[y1:y2, x1:x2]
            scores[index] = bright[y1:y2, x1:x2].mean()
        return Proposal(refined, scores)


# ---- data -----------------------------------------------------------------------------------------------------------


def write_data(folder: Path, num_images: int = 3) -> Path:
    """``images/``, ``labels/`` (0 ground, 1 box, 2 disk), ``coco.json``, ``panoptic.json`` and ``panoptic/``."""
    for name in ('images', 'labels', 'panoptic'):
        (folder / name).mkdir(parents=True)
    coco = {
        'images': [],
        'annotations': [],
        'categories': [{'id': 1 + i, 'name': name, 'isthing': 1} for i, name in enumerate(CLASSES)],
    }
    panoptic = {
        **coco,
        'annotations': [],
        'categories': [*coco['categories'], {'id': 3, 'name': 'ground', 'isthing': 0}],
    }
    rng = np.random.default_rng(0)
    for index in range(num_images):
        masks = _objects(index)
        image = np.where(masks.any(axis=0), 190, 30)[..., None] + rng.integers(-15, 16, (*SIZE_HW, 3))
        name = f'{index:03d}.png'
        cv2.imwrite(str(folder / 'images' / name), image.astype(np.uint8))
        labels = np.where(masks[1], 2, masks[0]).astype(np.uint8)
        cv2.imwrite(str(folder / 'labels' / name), labels)
        coco['images'].append({'id': index, 'file_name': name, 'height': SIZE_HW[0], 'width': SIZE_HW[1]})
        coco['annotations'] += [_annotation(2 * index + k + 1, index, k + 1, mask) for k, mask in enumerate(masks)]
        # A segment's id is its colour, red first.
        cv2.imwrite(str(folder / 'panoptic' / name), np.stack([labels * 0, labels * 0, labels + 1], axis=-1))
        segments = [
            {'id': value + 1, 'category_id': category, 'area': int((labels == value).sum()), 'iscrowd': 0,
             'bbox': _bbox(labels == value)}
            for value, category in ((0, 3), (1, 1), (2, 2))
        ]  # fmt: skip
        panoptic['annotations'].append({'image_id': index, 'file_name': name, 'segments_info': segments})
    (folder / 'coco.json').write_text(json.dumps(coco))
    (folder / 'panoptic.json').write_text(json.dumps(panoptic))
    return folder


def _objects(index: int) -> np.ndarray:
    ys, xs = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    box = (ys >= 8) & (ys < 34 + 4 * index) & (xs >= 5) & (xs < 36)
    return np.stack([box, (ys - 34) ** 2 + (xs - 60) ** 2 < (12 + 2 * index) ** 2])


def _annotation(number: int, image_id: int, category: int, mask: np.ndarray) -> dict:
    return {'id': number, 'image_id': image_id, 'category_id': category, 'iscrowd': 0, 'area': int(mask.sum()),
            'bbox': _bbox(mask), 'segmentation': encode_rle(mask)}  # fmt: skip


def _bbox(mask: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(mask)
    return [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]


# ---- models ---------------------------------------------------------------------------------------------------------


def mask_rcnn() -> dict:
    model = get_config('mmdet::_base_/models/mask-rcnn_r50_fpn.py').model
    _shrink(model, num_classes=2)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    head = model.roi_head
    head.bbox_roi_extractor.out_channels = 16
    head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=2)
    if 'mask_head' in head:
        head.mask_roi_extractor.out_channels = 16
        head.mask_head.update(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=2)
    model.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    model.train_cfg.rcnn.sampler.num = 32
    model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=4, nms={'type': 'nms', 'iou_threshold': 0.3})
    return model


def panoptic_fpn() -> dict:
    model = mask_rcnn()
    config = get_config('mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py').model
    config.semantic_head.update(in_channels=16, inner_channels=16, num_things_classes=2, num_stuff_classes=1)
    config.semantic_head.norm_cfg.num_groups = 4
    config.panoptic_fusion_head.update(num_things_classes=2, num_stuff_classes=1)
    config.test_cfg.panoptic.stuff_area_limit = 10
    model.update({key: config[key] for key in ('type', 'data_preprocessor', 'semantic_head', 'panoptic_fusion_head')})
    model.test_cfg.panoptic = config.test_cfg.panoptic
    return model


def retinanet() -> dict:
    model = get_config('mmdet::_base_/models/retinanet_r50_fpn.py').model
    _shrink(model)
    model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=2)
    model.test_cfg.update(nms_pre=50, score_thr=0.0, max_per_img=3, nms={'type': 'nms', 'iou_threshold': 0.3})
    return model


def _shrink(model: Config, num_classes: int = 2) -> None:
    model.backbone.update(depth=18, base_channels=8, stem_channels=8, init_cfg=None, frozen_stages=-1, norm_eval=False)
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)


def segmentor(num_classes: int = 3) -> dict:
    model = get_config('mmseg::_base_/models/fcn_r50-d8.py').model
    plain = {'type': 'BN'}
    model.update(pretrained=None, auxiliary_head=None)
    model.data_preprocessor.size = SIZE_HW
    model.backbone.update(depth=18, base_channels=8, stem_channels=8, norm_cfg=plain)
    model.decode_head.update(in_channels=64, channels=8, num_convs=1, num_classes=num_classes, norm_cfg=plain)
    return model


# ---- runners --------------------------------------------------------------------------------------------------------

META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')


def det_pipeline(*loading: dict, scale: tuple[int, int] = (160, 120)) -> list[dict]:
    return [
        {'type': 'LoadImageFromFile'},
        *loading,
        {'type': 'Resize', 'scale': scale, 'keep_ratio': True},
        {'type': 'PackDetInputs', 'meta_keys': META},
    ]


def det_config(folder: Path, model: dict, hooks: Sequence[Any] = (), evaluator: Any = None, **changes: Any) -> Config:
    """Validation, test and one epoch of training of a detector over the data in ``folder``."""
    dataset = {
        'type': 'CocoDataset',
        'data_root': str(folder),
        'ann_file': 'coco.json',
        'data_prefix': {'img': 'images/'},
        'metainfo': {'classes': CLASSES},
    }
    annotations = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}
    train = {**dataset, 'pipeline': det_pipeline(annotations)}
    test = {**dataset, 'pipeline': det_pipeline(), 'test_mode': True}
    evaluator = evaluator or {'type': 'CocoMetric', 'ann_file': str(folder / 'coco.json'), 'metric': ['bbox', 'segm']}
    return _config('mmdet', folder, model, train, test, evaluator, hooks, changes)


def panoptic_config(folder: Path, hooks: Sequence[Any] = (), evaluator: Any = None, **changes: Any) -> Config:
    dataset = {
        'type': 'CocoPanopticDataset',
        'data_root': str(folder),
        'ann_file': 'panoptic.json',
        'data_prefix': {'img': 'images/', 'seg': 'panoptic/'},
        'metainfo': {'classes': (*CLASSES, *STUFF), 'thing_classes': CLASSES, 'stuff_classes': STUFF},
        'pipeline': det_pipeline(),
        'test_mode': True,
    }
    evaluator = evaluator or {'type': 'KeepPredictions'}  # MMDetection's own needs panopticapi, which is on no index
    return _config('mmdet', folder, panoptic_fpn(), dataset, dataset, evaluator, hooks, changes)


def seg_config(folder: Path, hooks: Sequence[Any] = (), evaluator: Any = None, **changes: Any) -> Config:
    dataset = {
        'type': 'BaseSegDataset',
        'data_root': str(folder),
        'data_prefix': {'img_path': 'images', 'seg_map_path': 'labels'},
        'img_suffix': '.png',
        'metainfo': {'classes': ('background', *CLASSES), 'palette': [[0, 0, 0], [255, 0, 0], [0, 255, 0]]},
        'pipeline': [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}, {'type': 'PackSegInputs'}],
    }
    test = {**dataset, 'test_mode': True}
    evaluator = evaluator or {'type': 'IoUMetric', 'iou_metrics': ['mIoU']}
    return _config('mmseg', folder, segmentor(), dataset, test, evaluator, hooks, changes)


def _config(
    scope: str, folder: Path, model: dict, train: dict, test: dict, evaluator: Any, hooks: Sequence[Any], changes: dict
) -> Config:
    loader = {'batch_size': 2, 'num_workers': 0, 'sampler': {'type': 'DefaultSampler', 'shuffle': False}}
    number = next(_numbers)
    config = dict(
        default_scope=scope,
        experiment_name=f'tiny_{number}',
        work_dir=str(folder / f'run_{number}'),
        model=model,
        train_dataloader={**loader, 'dataset': train},
        val_dataloader={**loader, 'dataset': test},
        test_dataloader={**loader, 'dataset': test},
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        train_cfg={'by_epoch': True, 'max_epochs': 1, 'val_interval': 1},
        val_cfg={},
        test_cfg={},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.001}},
        custom_hooks=list(hooks),
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'interval': 1000},
            'logger': {'type': 'LoggerHook', 'interval': 50},
        },
        log_level='WARNING',
        randomness={'seed': 0},
    )
    config = Config(config)
    config.merge_from_dict(changes)
    return config


def build(config: Config, seed: int = 0) -> Runner:
    """A Runner whose model has the weights that follow from ``seed``."""
    config.randomness = {'seed': seed}
    runner = Runner.from_cfg(config)
    torch.manual_seed(seed)
    runner.model.init_weights()
    with torch.no_grad():
        for name, parameter in runner.model.named_parameters():
            # Heads start so small that all pixels and classes would be alike.
            if parameter.ndim > 1 and 'head' in name:
                parameter.normal_(0, 0.2)
    return runner


@METRICS.register_module()
class KeepPredictions(BaseMetric):
    """Keeps what evaluators see, by image."""

    default_prefix = ''

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict]) -> dict:
        self.seen = {Path(sample['img_path']).name: sample for sample in results}
        return {}
