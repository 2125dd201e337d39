"""The configs under configs/test_time and the page that explains them, run on tiny models and data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmrefine.apis import build_refiner
from mmrefine.engine import RefineHook
from mmrefine.registry import HOOKS
from tests.helpers.tiny_openmmlab import det_config, mask_rcnn, seg_config

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

FOLDER = Path(__file__).parents[2] / 'configs' / 'test_time'
CONFIGS = sorted(FOLDER.glob('*.py'))
MASK_RCNN = FOLDER / 'mask-rcnn_r50_fpn_1x_coco_segrefiner-tiny.py'


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_are_short_and_build_their_hook(path):
    assert len(path.read_text().splitlines()) < 30
    config = Config.fromfile(path)
    assert config.default_scope in ('mmdet', 'mmseg')
    [hook] = config.custom_hooks
    assert isinstance(HOOKS.build(hook), RefineHook)
    assert config.val_evaluator == config.test_evaluator


def test_the_page_shows_the_config():
    page = (FOLDER.parents[1] / 'docs' / 'test_time.md').read_text()
    blocks = re.findall(r'```python\n(.*?)```', page, flags=re.DOTALL)
    assert MASK_RCNN.read_text() in blocks
    for path in CONFIGS:
        assert path.name in page
    for option in ('refiner', 'classes', 'score_thr', 'area_range', 'top_k', 'gate', 'rescore', 'fallback', 'device'):
        assert f'| `{option}` |' in page


def test_mask_rcnn_is_refined_by_the_bundled_model(data):
    config = Config.fromfile(MASK_RCNN)
    tiny = det_config(data, mask_rcnn())
    config.custom_hooks[0].score_thr = 0.0
    config.test_evaluator.metrics[0].ann_file = str(data / 'coco.json')
    runner = run(config, tiny)
    assert {'refined/coco/segm_mAP', 'coarse/coco/segm_mAP', 'gain/coco/segm_mAP', 'accepted'} <= set(runner.test())
    [hook] = [hook for hook in runner._hooks if isinstance(hook, RefineHook)]
    assert any(hook._refine.decisions)
    assert str(hook.refiner) == str(build_refiner('segrefiner_tiny', device='cpu'))


def test_deeplab_is_refined_by_the_bundled_model(data):
    config = Config.fromfile(FOLDER / 'deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512_segrefiner-tiny.py')
    runner = run(config, seg_config(data))
    assert {'refined/mIoU', 'coarse/mIoU', 'gain/mIoU', 'accepted'} <= set(runner.test())


def run(config: Config, tiny: Config) -> Runner:
    """A Runner of a config with the model and data of a tiny one."""
    for key in ('work_dir', 'experiment_name', 'model', 'test_dataloader'):
        config[key] = tiny[key]
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(key)
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        config.pop(key)
    return Runner.from_cfg(config)
