"""Semi-supervised training as the documentation and the project describe it: real Runners, few iterations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmrefine.compat import setup

setup()
pytest.importorskip('mmdet')

from mmrefine.registry import HOOKS  # noqa: E402
from tests.helpers import bright_refiner  # noqa: E402, F401
from tests.helpers.tiny_mask_rcnn import CLASSES, mask_rcnn, write_images, write_json  # noqa: E402

BRIGHT = {'type': 'mmrefine.BrightRefiner', 'reach_px': 4}
EVERYTHING = {'min_score': 0.0, 'min_quality': 0.0, 'min_agreement': 0.0, 'min_area_px': 1}
NUTS = ('date', 'fig', 'hazelnut')


def smaller(config: dict | list) -> None:
    """Scale every view to the size of the tiny images."""
    for value in config.values() if isinstance(config, dict) else config:
        if isinstance(value, (dict, list)):
            smaller(value)
    if isinstance(config, dict) and config.get('type') in ('Resize', 'RandomResize'):
        config['scale'] = (64, 48)
        if config['type'] == 'RandomResize' and 'ratio_range' not in config:
            config['scale'] = [(64, 48), (96, 72)]


def brief(config: Config, work_dir: Path, iterations: int = 2) -> Config:
    """A few iterations, every one logged, without workers."""
    config.work_dir = str(work_dir)
    config.experiment_name = work_dir.name
    config.train_cfg.update(max_iters=iterations, val_interval=iterations)
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    config.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=iterations)
    config.default_hooks.pop('visualization', None)
    config.log_processor = dict(by_epoch=False, window_size=1)
    config.load_from = None
    config.randomness = dict(seed=0)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    smaller(config)
    return config


def scalars(runner: Runner) -> dict[str, list[float]]:
    history = runner.message_hub.log_scalars
    return {key.removeprefix('train/'): buffer.data[0].tolist() for key, buffer in history.items()}


@pytest.fixture
def documented(repo_root, tmp_path) -> Config:
    """The config of docs/semi_supervised.md with a tiny model and tiny data."""
    text = (repo_root / 'docs/semi_supervised.md').read_text()
    [block] = [code for code in re.findall(r'```python\n(.*?)```', text, re.S) if 'MaskTeacher' in code]
    assert len(block.splitlines()) < 30
    (tmp_path / 'config.py').write_text(block)
    config = Config.fromfile(tmp_path / 'config.py')
    detector = mask_rcnn()
    detector.roi_head.mask_head.type = config.model.detector.roi_head.mask_head.type
    config.model.update(detector=detector, refiner=ConfigDict(BRIGHT), label_filter=ConfigDict(EVERYTHING))
    labelled, unlabelled = config.train_dataloader.dataset.datasets
    content = write_images(tmp_path / 'images', 4)
    for dataset, name, part in (
        (labelled, 'labelled', [0, 1]),
        (unlabelled, 'unlabelled', [2, 3]),
        (config.val_dataloader.dataset, 'val', [0]),
    ):
        images = [content['images'][index] for index in part]
        annotations = [a for a in content['annotations'] if a['image_id'] in part and name != 'unlabelled']
        write_json(tmp_path / f'{name}.json', {**content, 'images': images, 'annotations': annotations})
        dataset.update(data_root=str(tmp_path), ann_file=f'{name}.json', data_prefix={'img': 'images'})
        dataset.metainfo = {'classes': CLASSES}
    config.val_evaluator.ann_file = str(tmp_path / 'val.json')
    config.train_dataloader.update(batch_size=2)
    config.train_dataloader.sampler.update(batch_size=2, source_ratio=[1, 1])
    # Unlike in the documentation only teacher or student is measured, the teacher, which is enough here.
    config.pop('test_dataloader'), config.pop('test_evaluator'), config.pop('test_cfg')
    return brief(config, tmp_path / 'run')


def test_documented_config_trains_teacher_and_student(documented, tmp_path):
    documented.custom_hooks[0].momentum = 0.5  # so that two iterations show
    runner = Runner.from_cfg(documented)
    runner.train()
    logged = scalars(runner)
    assert len(logged['pseudo_labels']) == 2 and all(count > 0 for count in logged['pseudo_labels'])
    assert all(0 < quality <= 1 for quality in logged['pseudo_quality'])
    assert all(loss > 0 for loss in logged['unsup_loss_mask'] + logged['sup_loss_mask'])
    weights = torch.load(tmp_path / 'run/iter_2.pth', weights_only=False)['state_dict']
    assert {name.split('.')[0] for name in weights} == {'student', 'teacher'}
    name = 'roi_head.mask_head.conv_logits.weight'
    assert not torch.equal(weights[f'student.{name}'], weights[f'teacher.{name}'])


def test_teacher_that_predicts_nothing_is_reported(documented, tmp_path):
    """Training goes on with the labelled images, and a warning says why nothing else is learned."""
    documented.model.label_filter = ConfigDict(min_score=1.0)
    documented.custom_hooks[1].patience = 2
    documented.val_cfg = documented.val_dataloader = documented.val_evaluator = None
    runner = Runner.from_cfg(documented)
    runner.train()
    logged = scalars(runner)
    assert logged['pseudo_labels'] == [0, 0] and logged['pseudo_quality'] == [0, 0]
    assert logged['unsup_loss_mask'] == [0, 0] and all(loss > 0 for loss in logged['sup_loss_mask'])
    [log] = (tmp_path / 'run').glob('*/*.log')
    [best] = re.findall(
        r'no pseudo label in 2 iterations; the best score of the teacher was ([\d.]+)\.', log.read_text()
    )
    assert 0 < float(best) < 1


def test_hook_needs_a_teacher(documented):
    hook = HOOKS.build(dict(type='PseudoLabelHook'))
    runner = type('Bare', (), {'model': torch.nn.Linear(1, 1)})
    with pytest.raises(TypeError, match='such as mmrefine.MaskTeacher, got Linear'):
        hook.before_train(runner)
    with pytest.raises(ValueError, match='at least 1'):
        HOOKS.build(dict(type='PseudoLabelHook', patience=0))


@pytest.fixture
def nuts(tmp_path, monkeypatch) -> Path:
    """The project's data, with other images."""
    content = write_images(tmp_path / 'images', 5, classes=NUTS)
    for name, part in (('labelled', [0]), ('unlabelled', [1, 2]), ('pseudo', [3]), ('val', [4])):
        images = [content['images'][index] for index in part]
        annotations = [{**a, 'weight': 0.5} for a in content['annotations'] if a['image_id'] in part]
        write_json(tmp_path / f'{name}.json', {**content, 'images': images, 'annotations': annotations})
    monkeypatch.setenv('NUTS', str(tmp_path))
    return tmp_path


@pytest.mark.parametrize('name', ['mask-rcnn_nuts_pseudo', 'mask-teacher_nuts'])
def test_projects_configs_train_and_validate(nuts, repo_root, name):
    config = Config.fromfile(repo_root / f'projects/semi_instance/configs/{name}.py')
    brief(config, nuts / 'run', 1)
    if name == 'mask-teacher_nuts':
        config.model.update(refiner=ConfigDict(BRIGHT), label_filter=ConfigDict(EVERYTHING))
    runner = Runner.from_cfg(config)
    runner.train()
    losses = [values for key, values in scalars(runner).items() if key.endswith('loss_mask')]
    assert losses and all(loss > 0 for values in losses for loss in values)
    assert any(key.endswith('coco/segm_mAP') for key in scalars(runner))
