"""The training data of LR- and HR-SegRefiner by their configs, on a few images."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmrefine.core.rle import encode_rle
from mmrefine.registry import DATASETS
from tests.conftest import REPO_ROOT


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Three images of 300x400 pixels with a disk, a small square and a thin line each, as LVIS and as folders."""
    root = tmp_path_factory.mktemp('paper')
    content = {'images': [], 'annotations': []}
    for number in range(3):
        rng = np.random.default_rng(number)
        masks = np.zeros((3, 300, 400), np.uint8)
        cv2.circle(masks[0], (120 + 10 * number, 150), 60, 1, -1)
        masks[1, 20:30, 20:30] = 1  # 100 px: too small to be trained on
        cv2.line(masks[2], (220, 20), (380, 280), 1, 4)
        for name in ('im', 'gt', 'train2017'):
            (root / name).mkdir(exist_ok=True)
        image = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
        for path in (root / 'im' / f'{number}.jpg', root / 'train2017' / f'{number}.jpg'):
            cv2.imwrite(str(path), image)
        ring = masks[0].copy()
        cv2.circle(ring, (120 + 10 * number, 150), 30, 0, -1)
        cv2.imwrite(str(root / 'gt' / f'{number}.png'), ring * 255)
        url = f'http://images.cocodataset.org/train2017/{number}.jpg'
        content['images'].append({'id': number, 'coco_url': url, 'height': 300, 'width': 400})
        for mask in masks:
            record = {'id': len(content['annotations']) + 1, 'image_id': number, 'category_id': 1}
            content['annotations'].append({**record, 'area': int(mask.sum()), 'segmentation': encode_rle(mask > 0)})
    (root / 'lvis.json').write_text(json.dumps(content))
    return root


def overlap(sample: dict) -> float:
    coarse, gt = (sample['data_samples'].get(f'{side}_masks').numpy() > 0 for side in ('coarse', 'gt'))
    return np.count_nonzero(coarse & gt) / np.count_nonzero(coarse | gt)


def test_low_resolution(folder):
    config = Config.fromfile(REPO_ROOT / 'configs/segrefiner/segrefiner_lr_lvis.py').train_dataloader.dataset
    config.datasets[0].update(ann_file=str(folder / 'lvis.json'), data_prefix=dict(img=str(folder)))
    dataset = DATASETS.build(config)
    samples = [dataset[k] for k in range(20)]
    assert all(tuple(sample['inputs'].shape) == (3, 256, 256) for sample in samples)
    shares = [float(sample['data_samples'].gt_masks.float().mean()) for sample in samples]
    thin = [share < 0.2 for share in shares]
    assert 3 < sum(thin) < 17  # either object of an image, never the one of 100 px, whose crop it would fill to 4 %
    ious = np.array([overlap(sample) for sample in samples])
    assert ious.max() < 1 and ious[thin].mean() < ious[~np.array(thin)].mean()
    assert dataset[3]['data_samples'].seed == samples[3]['data_samples'].seed


def test_high_resolution(folder):
    config = Config.fromfile(REPO_ROOT / 'configs/segrefiner/segrefiner_hr_dis5k-thinobject5k.py')
    config = config.train_dataloader.dataset
    assert config.weights == [3000, 3000, 4748, 4748]
    for part in config.datasets:
        part.data_prefix = dict(img=str(folder / 'im'), mask=str(folder / 'gt'))
    dataset = DATASETS.build(config)
    samples = [dataset[k] for k in range(20)]
    assert all(tuple(sample['inputs'].shape) == (3, 256, 256) for sample in samples)
    assert all(0 < sample['data_samples'].gt_masks.float().mean() < 1 for sample in samples)
    assert max(overlap(sample) for sample in samples) < 1
