"""A very small Mask R-CNN with random weights, images of bright shapes on a dark ground, and files of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import ConfigDict
from mmengine.hub import get_config

from mmrefine.core.rle import box_of, encode_rle

CLASSES = ('box', 'disk')
SIZE_HW = (48, 64)
VIEW_META = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'homography_matrix',
)


def mask_rcnn() -> ConfigDict:
    """Config of the model: 8 channels, 2 classes, few proposals, every detection whatever its score."""
    model = get_config('mmdet::_base_/models/mask-rcnn_r50_fpn.py').model
    norm = {'type': 'GN', 'num_groups': 4}
    model.backbone.update(
        depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, norm_cfg=norm, norm_eval=False, init_cfg=None
    )
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=8)
    model.rpn_head.update(in_channels=8, feat_channels=8)
    head = model.roi_head
    for extractor in (head.bbox_roi_extractor, head.mask_roi_extractor):
        extractor.out_channels = 8
    head.bbox_head.update(in_channels=8, fc_out_channels=16, num_classes=2)
    head.mask_head.update(in_channels=8, conv_out_channels=8, num_convs=1, num_classes=2)
    model.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    model.train_cfg.rcnn.sampler.num = 16
    model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=4)
    return model


def write_images(folder: Path, num_images: int = 3, first_id: int = 0, classes: tuple[str, ...] = CLASSES) -> dict:
    """Write ``<id>.png``, a box and a disk each; returns their COCO content, with RLE."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        'images': [],
        'annotations': [],
        'categories': [{'id': 7 + index, 'name': name} for index, name in enumerate(classes)],
    }
    rng = np.random.default_rng(first_id)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    for image_id in range(first_id, first_id + num_images):
        left, centre_y = 4 + image_id % 4, 22 + image_id % 5
        box = (rows >= 6) & (rows < 30) & (columns >= left) & (columns < left + 22)
        disk = (rows - centre_y) ** 2 + (columns - 48) ** 2 < 144
        image = np.where(box | disk, 190, 30)[..., None] + rng.integers(-10, 11, (*SIZE_HW, 3))
        name = f'{image_id}.png'
        cv2.imwrite(str(folder / name), image.astype(np.uint8))
        content['images'].append({'id': image_id, 'file_name': name, 'height': SIZE_HW[0], 'width': SIZE_HW[1]})
        for category, mask in ((7, box), (8, disk)):
            content['annotations'].append(
                {
                    'id': len(content['annotations']) + 1,
                    'image_id': image_id,
                    'category_id': category,
                    'segmentation': encode_rle(mask),
                    'bbox': box_of(mask),
                    'area': int(mask.sum()),
                    'iscrowd': 0,
                }
            )
    return content


def write_json(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)
