"""tools/test.py with configs of MMDetection: the gate, numbers of every mask, and hooks of the user."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

pytest.importorskip('mmdet')

from mmrefine import compat  # noqa: E402

compat.setup()

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
    assert 'hello of the hook' in gated and 'replaced 0 of the' in gated
    with open(tmp_path / 'masks.csv') as file:
        assert 'coarse_iou' in next(csv.reader(file))
    assert 'replaced 0 of the' not in run('--no-gate')
