"""tools/test.py with configs of MMDetection: the gate, numbers of every mask, and hooks of the user."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest
from mmengine.config import Config

pytest.importorskip('mmdet')

from mmrefine import compat  # noqa: E402

compat.setup()

from mmrefine.cli.test import change_gate, keep_sources, main, write_per_mask  # noqa: E402
from mmrefine.engine import RefineHook  # noqa: E402
from mmrefine.models.refiners import SegRefiner  # noqa: E402
from tests.helpers.tiny_openmmlab import det_config, mask_rcnn, write_data  # noqa: E402

HOOK = """
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
import tests.helpers.tiny_openmmlab


@HOOKS.register_module()
class SayHello(Hook):
    def before_test(self, runner):
        print('hello of the hook')
"""


def test_gate_per_mask_and_hooks_of_the_user(repo_root, tmp_path):
    data = write_data(tmp_path / 'data')
    refine = {'type': 'mmrefine.RefineHook', 'refiner': {'type': 'mmrefine.BrightInBox', 'gate': {'min_score': 2.0}}}
    config = det_config(data, mask_rcnn(), [refine, {'type': 'SayHello'}])
    config.test_dataloader.dataset.pipeline.insert(2, {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True})
    config.log_level = 'INFO'
    config.custom_imports = {'imports': ['say_hello']}
    config.dump(tmp_path / 'config.py')
    (tmp_path / 'say_hello.py').write_text(HOOK)

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, 'tools/test.py', str(tmp_path / 'config.py'), '--work-dir', str(tmp_path), *arguments],
            cwd=repo_root,
            env={**os.environ, 'PYTHONPATH': f'{repo_root}{os.pathsep}{tmp_path}'},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    gated = run('--per-mask', str(tmp_path / 'masks.csv'))
    assert 'hello of the hook' in gated and 'replaced 0 of' in gated
    with open(tmp_path / 'masks.csv') as file:
        assert 'coarse_iou' in next(csv.reader(file))
    assert 'replaced 0 of' not in run('--no-gate')


REFINE = {'type': 'mmrefine.RefineHook', 'refiner': 'segrefiner_tiny'}


@pytest.mark.parametrize(
    ('settings', 'plain', 'changed'),
    [(None, False, False), ({'min_gain': 0.1}, {'min_gain': 0.1}, {'min_score': 0.9, 'min_gain': 0.1})],
)
@pytest.mark.parametrize('hook_type', ['mmrefine.RefineHook', 'RefineHook', RefineHook])
def test_the_gate_is_that_of_the_refiner_wherever_it_stands(settings, plain, changed, hook_type):
    refine = {**REFINE, 'type': hook_type}
    hooks = [dict(refine), {**refine, 'gate': {'min_score': 0.9}}, {'type': 'EMAHook'}]
    config = Config({'model': {'type': 'MaskRCNN'}, 'custom_hooks': hooks})
    change_gate(config, settings)
    assert [hook.get('gate') for hook in config.custom_hooks] == [plain, changed, None]
    assert 'gate' not in config.model

    config = Config({'model': {'type': 'mmrefine.RefinedModel', 'model_type': 'MaskRCNN', 'refine': {}}})
    change_gate(config, settings)
    assert config.model.refine.gate == plain and 'gate' not in config.model

    for refiner in ('SegRefiner', SegRefiner):
        config = Config({'model': {'type': refiner, 'gate': {'min_score': 0.9}}})
        change_gate(config, settings)
        assert config.model.gate == (changed or None)


def test_what_cannot_be_done_is_reported():
    for model in ('MaskRCNN', Config):
        config = Config({'model': {'type': model}, 'test_evaluator': {'type': 'CocoMetric'}})
        with pytest.raises(ValueError, match='has neither a refiner nor RefineHook'):
            change_gate(config, None)
    with pytest.raises(ValueError, match='has neither RefineMetric nor RefineHook'):
        write_per_mask(config, 'masks.csv')


COCO = {'type': 'CocoMetric'}


@pytest.mark.parametrize(
    ('evaluator', 'matched'),
    [
        (COCO, {}),
        ([COCO], {}),
        ({'type': 'mmrefine.RefineEvaluator', 'metrics': [COCO]}, {}),
        ({'type': 'mmrefine.MatchedMaskEvaluator', 'metrics': [COCO], 'matched': {'min_iou': 0.3}}, {'min_iou': 0.3}),
    ],
)
def test_every_evaluator_can_measure_mask_by_mask(evaluator, matched):
    config = Config({'test_evaluator': evaluator, 'custom_hooks': [REFINE]})
    write_per_mask(config, 'masks.csv')
    assert config.test_evaluator.type == 'mmrefine.MatchedMaskEvaluator'
    assert config.test_evaluator.metrics == [COCO]
    assert config.test_evaluator.matched == {**matched, 'per_mask_file': 'masks.csv'}


def test_sources_of_a_table(repo_root):
    config = Config.fromfile(repo_root / 'configs/segrefiner/segrefiner_hr_big.py')
    with pytest.raises(ValueError, match=r"has the sources \['deeplabv3plus', 'refinenet', 'pspnet', 'fcn8s'\], got"):
        keep_sources(config, ['pspnet', 'unet'])
    keep_sources(config, ['fcn8s', 'pspnet'])
    assert [dataset.source for dataset in config.test_dataloader.dataset.datasets] == ['pspnet', 'fcn8s']
    config = Config.fromfile(repo_root / 'configs/segrefiner/segrefiner_lr_published-masks.py')
    with pytest.raises(ValueError, match=r'has the sources \[\]'):
        keep_sources(config, ['pspnet'])


def test_what_is_not_there_is_one_sentence_and_status_2(repo_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'table.py'
    base = repo_root / 'configs/_base_/datasets/big.py'
    config.write_text(f"_base_ = '{base}'\nmodel = dict(type='GuidedFilter')\ndefault_scope = 'mmrefine'\n")
    for arguments, message in (
        ([str(config), '--source', 'pspnet'], 'data/big/pspnet/coarse.json'),
        ([str(config), '--source', 'unet'], 'has the sources'),
        ([str(config), '--gate', 'min_gain=much'], "got 'min_gain=much'"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert stop.value.code == 2 and error.startswith('error: ') and message in error
