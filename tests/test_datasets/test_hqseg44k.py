"""The configs of HQSeg-44K on folders of that layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

import mmrefine.datasets.transforms  # noqa: F401  (fill the registry)
from mmrefine.registry import DATASETS

APART = {
    'DIS5K/DIS-TR': ('im', 'gt'),
    'DIS5K/DIS-VD': ('im', 'gt'),
    'thin_object_detection/ThinObject5K': ('images_train', 'masks_train'),
}
TOGETHER = [f'cascade_psp/{name}' for name in ('fss_all', 'ecssd', 'MSRA_10K', 'DUTS-TR', 'DUTS-TE')]


@pytest.fixture(scope='module')
def layout(tmp_path_factory) -> Path:
    """One image and its mask in every folder."""
    root = tmp_path_factory.mktemp('data')
    pairs = [(f'{name}/{images}', f'{name}/{masks}') for name, (images, masks) in APART.items()]
    mask = np.zeros((60, 80), np.uint8)
    mask[10:50, 20:70] = 255
    for images, masks in [*pairs, *((name, name) for name in TOGETHER)]:
        for folder in (images, masks):
            (root / 'data/sam-hq' / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / 'data/sam-hq' / images / 'a.jpg'), np.dstack([mask] * 3))
        cv2.imwrite(str(root / 'data/sam-hq' / masks / 'a.png'), mask)
    return root


@pytest.fixture
def config(layout, repo_root, monkeypatch) -> Config:
    monkeypatch.chdir(layout)
    return Config.fromfile(repo_root / 'configs/sam2_refiner/sam2-refiner_sam2.1-hiera-l_hqseg44k.py')


def test_draws_come_from_all_sets_in_the_size_of_the_model(config):
    mixture = DATASETS.build(config.train_dataloader.dataset)
    assert sum(config.train_dataloader.dataset.weights) == 44_320
    assert [len(dataset) for dataset in mixture.datasets] == [1] * 7
    sample = mixture[0]
    assert sample['inputs'].shape == (3, 1024, 1024)
    assert sample['data_samples'].gt_masks.shape == (1, 1024, 1024)
    assert 'prompt' in sample['data_samples'] and 'seed' in sample['data_samples']


def test_validation_keeps_the_ground_truth_unchanged(config):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    assert sample['inputs'].shape == (3, 1024, 1024)
    assert sample['data_samples'].gt_masks.shape == (1, 60, 80)
    corners = sample['data_samples'].prompt.point_coords
    np.testing.assert_allclose(corners / 1024, [[20 / 80, 10 / 60], [69 / 80, 49 / 60]], atol=1e-5)


def test_twenty_epochs_in_batches_of_four_on_eight_gpus(config):
    samples = config.train_cfg.max_iters * config.train_dataloader.batch_size * 8
    assert samples == pytest.approx(20 * 44_320, rel=1e-3)
    assert config.param_scheduler.milestones == [config.train_cfg.max_iters // 2]
