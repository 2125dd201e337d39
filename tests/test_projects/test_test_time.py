"""The demonstration configs of projects/test_time: real Runners on tiny images, with random weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmrefine.compat import setup

setup()
pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

from mmrefine.core.rle import decode_segmentation  # noqa: E402
from tests.helpers import bright_refiner  # noqa: E402, F401
from tests.helpers.tiny_mask_rcnn import write_images, write_json  # noqa: E402

MEASURED = {f'{side}/{name}' for side in ('coarse', 'refined', 'gain') for name in ('iou', 'boundary_iou', 'mba')}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """Both projects' data in one folder: images, ``val.json``, ``labels/`` and ``val.txt``."""
    content = write_images(tmp_path / 'images', 2, classes=('date', 'fig', 'hazelnut'))
    write_json(tmp_path / 'val.json', content)
    (tmp_path / 'labels').mkdir()
    for image in content['images']:
        masks = [
            decode_segmentation(annotation['segmentation'], (image['height'], image['width']))
            for annotation in content['annotations']
            if annotation['image_id'] == image['id']
        ]
        cv2.imwrite(str(tmp_path / 'labels' / image['file_name']), np.any(masks, axis=0).astype(np.uint8))
    (tmp_path / 'val.txt').write_text('0\n1\n')
    monkeypatch.setenv('NUTS', str(tmp_path))
    return tmp_path


def run(repo_root: Path, data: Path, name: str) -> dict[str, float]:
    config = Config.fromfile(repo_root / f'projects/test_time/configs/{name}.py')
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(key)
    config.work_dir, config.experiment_name = str(data / 'run'), f'{name}_{data.name}'
    hook = config.custom_hooks[0]
    hook.refiner = ConfigDict(type='mmrefine.BrightRefiner', reach_px=4)
    if 'score_thr' in hook:
        hook.score_thr = 0.0
        config.model.test_cfg.rcnn.score_thr = 0.0
        config.test_evaluator.matched.min_iou = 0.0
    else:
        config.test_dataloader.dataset.img_suffix = '.png'
    return Runner.from_cfg(config).test()


@pytest.mark.parametrize(
    ('name', 'metric'), [('mask-rcnn_nuts_refined', 'coco/segm_mAP'), ('deeplabv3plus_nuts_refined', 'mIoU')]
)
def test_coarse_and_refined_in_one_pass(repo_root, data, name, metric):
    metrics = run(repo_root, data, name)
    expected = {f'{side}/{metric}' for side in ('coarse', 'refined', 'gain')} | MEASURED
    assert expected | {'harm_rate', 'harm_rate/boundary_iou', 'accepted'} <= set(metrics)
    # Of label maps the person is one mask per image; of four objects random weights find some.
    assert metrics['num_masks'] == 2 if metric == 'mIoU' else 1 <= metrics['num_masks'] <= 4
    assert metrics['gain/iou'] == pytest.approx(metrics['refined/iou'] - metrics['coarse/iou'])
