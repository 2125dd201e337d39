"""RefineHook beside training, and after it: a real segmentor of MMSegmentation, tiny, trained for a moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hooks.test_time_aug_hook import PrepareTTAHook
from mmengine.runner import Runner, TestLoop

from mmrefine.apis import build_refiner
from mmrefine.core.selection import MaskSelection
from mmrefine.engine import PredictionRefiner, RefineHook
from tests.helpers.tiny_openmmlab import REFINER, build, seg_config

pytest.importorskip('mmseg')

HOOK = {'type': 'mmrefine.RefineHook', 'refiner': REFINER}
KEEP = {'type': 'KeepPredictions'}
METRIC = {'type': 'IoUMetric', 'iou_metrics': ['mIoU']}
CLASSES = ('background', 'box', 'disk')
EPOCHS = 6


def train(data: Path, hooks: list, evaluator: object, save_best: str) -> Runner:
    changes = {
        'train_cfg.max_epochs': EPOCHS,
        'train_cfg.val_interval': EPOCHS // 2,
        'optim_wrapper.optimizer': {'type': 'Adam', 'lr': 0.01},
        'default_hooks.checkpoint': {'type': 'CheckpointHook', 'interval': EPOCHS, 'save_best': save_best},
    }
    runner = build(seg_config(data, hooks, evaluator, **changes))
    runner.train()
    return runner


def checkpoint(runner: Runner, pattern: str) -> dict[str, torch.Tensor]:
    [path] = Path(runner.work_dir).glob(pattern)
    return torch.load(path, map_location='cpu', weights_only=True)['state_dict']


@pytest.fixture(scope='module')
def trained_beside(data) -> Runner:
    """Trained with the hook in validation, which reports both sides and keeps the best by refined maps."""
    evaluator = {'type': 'mmrefine.RefineEvaluator', 'metrics': [METRIC]}
    return train(data, [HOOK], evaluator, 'refined/mIoU')


@pytest.fixture(scope='module')
def trained_alone(data) -> Runner:
    return train(data, [], [METRIC, KEEP], 'mIoU')


def test_checkpoints_hold_the_model_alone_as_if_nothing_had_been_refined(trained_beside, trained_alone):
    alone = checkpoint(trained_alone, f'epoch_{EPOCHS}.pth')
    assert alone.keys() == trained_alone.model.state_dict().keys()
    for pattern in (f'epoch_{EPOCHS}.pth', 'best_refined_mIoU_epoch_*.pth'):
        saved = checkpoint(trained_beside, pattern)
        assert saved.keys() == alone.keys()
    beside = checkpoint(trained_beside, f'epoch_{EPOCHS}.pth')
    for name, value in alone.items():
        assert torch.equal(beside[name], value), name
    assert type(trained_beside.model).__name__ == 'EncoderDecoder'


def test_both_sides_in_one_pass(trained_beside, trained_alone):
    metrics, alone = trained_beside.val(), trained_alone.val()
    for key, value in alone.items():
        assert metrics[f'coarse/{key}'] == value
        assert metrics[f'gain/{key}'] == pytest.approx(metrics[f'refined/{key}'] - value)
    # Bright objects on dark ground, found at a stride of 8 px: the bright pixels are a better answer.
    assert metrics['gain/mIoU'] > 3
    assert 0 < metrics['accepted'] <= 1


def test_scalars_of_both_sides_are_written(trained_beside):
    [path] = Path(trained_beside.work_dir).glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in path.read_text().splitlines()]
    validations = [record for record in records if 'refined/mIoU' in record]
    assert len(validations) >= 2
    for record in validations:
        assert record['gain/mIoU'] == pytest.approx(record['refined/mIoU'] - record['coarse/mIoU'])


# ---- after training -------------------------------------------------------------------------------------------------


def predict(runner: Runner, *hooks: Hook | dict) -> dict[str, dict]:
    """What the evaluator of a test sees, by image, with these hooks instead of those of the last test."""
    runner._hooks = [hook for hook in runner._hooks if not isinstance(hook, (RefineHook, PrepareTTAHook, Watch))]
    for hook in hooks:
        runner.register_hook(dict(hook) if isinstance(hook, dict) else hook)
    runner.test()
    return runner.test_evaluator.metrics[-1].seen


class Watch(Hook):
    def __init__(self):
        self.outputs = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.outputs += outputs


def label_map(sample: dict) -> np.ndarray:
    return sample['pred_sem_seg']['data'].numpy()


@pytest.fixture(scope='module')
def coarse(trained_alone) -> dict[str, dict]:
    return predict(trained_alone)


@pytest.fixture(scope='module')
def refined(trained_alone) -> dict[str, dict]:
    return predict(trained_alone, HOOK)


def test_label_maps_are_refined_and_logits_are_left(coarse, refined):
    changed = 0
    for name, sample in refined.items():
        assert (
            set(np.unique(label_map(sample))) <= {0, 1, 2} and label_map(sample).shape == label_map(coarse[name]).shape
        )
        assert torch.equal(sample['seg_logits']['data'], coarse[name]['seg_logits']['data'])
        assert torch.equal(sample['gt_sem_seg']['data'], coarse[name]['gt_sem_seg']['data'])
        changed += (label_map(sample) != label_map(coarse[name])).any()
    assert len(refined) == changed == 3


def test_the_bundled_model_by_its_name(trained_alone, coarse):
    hook = RefineHook('segrefiner_tiny', top_k=1)
    found = predict(trained_alone, hook)
    assert hook.refiner.gate is not None and len(hook._refine.decisions) == 3
    offline = PredictionRefiner(build_refiner('segrefiner_tiny', device='cpu'), MaskSelection(top_k=1), CLASSES)
    watch = Watch()
    predict(trained_alone, watch)
    for sample in offline(watch.outputs):
        np.testing.assert_array_equal(sample.pred_sem_seg.data, label_map(found[Path(sample.img_path).name]))


def test_pictures_show_refined_maps(trained_alone, refined, monkeypatch):
    from mmseg.engine.hooks import SegVisualizationHook

    drawn = {}
    monkeypatch.setattr(
        type(trained_alone.visualizer),
        'add_datasample',
        lambda self, *_, data_sample, **__: drawn.update({Path(data_sample.img_path).name: data_sample}),
    )
    picture_hook = SegVisualizationHook(draw=True, interval=1)
    trained_alone.register_hook(picture_hook)
    predict(trained_alone, HOOK)
    trained_alone._hooks.remove(picture_hook)
    for name, sample in refined.items():
        np.testing.assert_array_equal(drawn[name].pred_sem_seg.data, label_map(sample))


def test_mixed_precision(trained_alone):
    """Under autocast what the model predicts is refined, as without."""
    watch, refined_watch = Watch(), Watch()
    trained_alone.test_loop.fp16 = True
    try:
        predict(trained_alone, watch)
        predict(trained_alone, HOOK, refined_watch)
    finally:
        trained_alone.test_loop.fp16 = False
    assert watch.outputs[0].seg_logits.data.dtype == torch.bfloat16
    offline = PredictionRefiner(build_refiner(REFINER, device='cpu'), classes=CLASSES)
    for expected, sample in zip(offline(watch.outputs), refined_watch.outputs, strict=True):
        assert torch.equal(sample.pred_sem_seg.data, expected.pred_sem_seg.data)


def test_maps_that_were_predicted_in_windows(trained_alone, monkeypatch):
    windows = Config({'mode': 'slide', 'crop_size': (32, 32), 'stride': (20, 20)})
    monkeypatch.setattr(trained_alone.model, 'test_cfg', windows)
    merged = Watch()
    predict(trained_alone, merged)
    found = predict(trained_alone, HOOK)
    refine = PredictionRefiner(build_refiner(REFINER, device='cpu'), classes=CLASSES)
    for before, after in zip(merged.outputs, refine(merged.outputs), strict=True):
        refined = label_map(found[Path(before.img_path).name])
        np.testing.assert_array_equal(refined, after.pred_sem_seg.data)
        assert (refined != before.pred_sem_seg.data.numpy()).any()


@pytest.mark.parametrize('tta_first', [True, False])
def test_augmented_predictions_are_merged_first_whatever_the_order_of_hooks(data, trained_alone, tta_first):
    loader = trained_alone.cfg.test_dataloader.copy()
    loading, annotations, packing = trained_alone.cfg.test_dataloader.dataset.pipeline
    packing = {**packing, 'meta_keys': ('img_path', 'ori_shape', 'img_shape', 'flip', 'flip_direction')}
    flips = [{'type': 'RandomFlip', 'prob': 0.0}, {'type': 'RandomFlip', 'prob': 1.0, 'direction': 'horizontal'}]
    views = {'type': 'TestTimeAug', 'transforms': [flips, [annotations], [packing]]}
    loader.dataset = {**loader.dataset, 'pipeline': [loading, views]}
    loop, model = trained_alone.test_loop, trained_alone.model
    trained_alone._test_loop = TestLoop(trained_alone, loader, trained_alone.test_evaluator)
    refine, merged = PredictionRefiner(build_refiner(REFINER, device='cpu'), classes=CLASSES), Watch()
    try:
        predict(trained_alone, PrepareTTAHook({'type': 'SegTTAModel'}), merged)
        trained_alone.model = model
        hooks = [PrepareTTAHook({'type': 'SegTTAModel'}), {**HOOK, 'priority': 'VERY_HIGH'}]
        found = predict(trained_alone, *(hooks if tta_first else hooks[::-1]))
    finally:
        trained_alone._test_loop, trained_alone.model = loop, model
    for sample in refine(merged.outputs):
        np.testing.assert_array_equal(label_map(found[Path(sample.img_path).name]), sample.pred_sem_seg.data)


TWO_PROCESSES = """
import json, sys
from mmengine.runner import Runner
from mmrefine import compat
compat.setup()
from pathlib import Path
from tests.helpers.tiny_openmmlab import REFINER, seg_config
data, weights, answer = sys.argv[3:]  # after --launcher pytorch
lines = []
evaluator = dict(type='mmrefine.RefineEvaluator', metrics=dict(type='IoUMetric', iou_metrics=['mIoU']))
config = seg_config(Path(data), [dict(type='mmrefine.RefineHook', refiner=REFINER)], evaluator)
config.launcher, config.load_from, config.test_dataloader.batch_size = 'pytorch', weights, 1
compat.prepare_process_group(config)
runner = Runner.from_cfg(config)
runner.logger.info = lines.append
metrics = runner.test()
metrics['line'] = next(line for line in lines if str(line).startswith('RefineHook'))
metrics['model'] = type(runner.model).__name__
if runner.rank == 0:
    Path(answer).write_text(json.dumps(metrics, default=float))
"""


def test_two_processes_share_the_images(data, trained_alone, trained_beside, repo_root, tmp_path, monkeypatch):
    """Three images for two: the one that fills up is not counted twice."""
    trained_beside.model.load_state_dict(trained_alone.model.state_dict())
    [weights] = Path(trained_alone.work_dir).glob(f'epoch_{EPOCHS}.pth')
    (tmp_path / 'run.py').write_text(TWO_PROCESSES)
    answer = tmp_path / 'metrics.json'
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', 'tools/dist_run.sh', '2', str(tmp_path / 'run.py'), str(data), str(weights), str(answer)],
        cwd=repo_root,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(repo_root), 'PATH': path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    together = json.loads(answer.read_text())
    assert together.pop('model') == 'MMDistributedDataParallel'
    lines = []
    monkeypatch.setattr(trained_beside.logger, 'info', lines.append)
    alone = trained_beside.test()
    assert together.pop('line') == next(line for line in lines if str(line).startswith('RefineHook'))
    assert together == pytest.approx(alone)
