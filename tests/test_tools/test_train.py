"""Training by config, for real: resume after a kill, two processes, mixed precision, gradient accumulation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

CONFIG = 'configs/segrefiner/segrefiner_tiny_folder.py'
ITERATIONS = 8


def command(script: str, data_root: Path, work_dir: Path, *arguments: str) -> list[str]:
    """A run of a few iterations of a very small network."""
    settings = {
        'train_cfg.max_iters': ITERATIONS,
        'train_cfg.val_interval': 1000,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': 4,
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.datasets.0.data_prefix.img': data_root / 'train/images',
        'train_dataloader.dataset.datasets.0.data_prefix.mask': data_root / 'train/masks',
        'train_dataloader.dataset.datasets.0.pipeline.4.size': 64,
        'model.input_size': 64,
        'model.denoiser.widths': '32,32,32,32,32',
        'load_from': 'None',
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
    }
    for split in ('val', 'test'):
        for key, folder in (('img', 'images'), ('mask', 'masks')):
            settings[f'{split}_dataloader.dataset.data_prefix.{key}'] = data_root / 'val' / folder
    options = [f'{key}={value}' for key, value in settings.items()]
    return [script, CONFIG, *arguments, '--work-dir', str(work_dir), '--cfg-options', *options]


def run(arguments: list[str], repo_root: Path, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run(
        arguments,
        cwd=repo_root,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **kwargs.pop('env', {})},
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )


def losses(work_dir: Path) -> dict[int, float]:
    """Loss by iteration, of all runs in a work directory; a later run's numbers win."""
    curve = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                curve[entry['step']] = entry['loss']
    return curve


@pytest.fixture(scope='module')
def unbroken(data_root, tmp_path_factory, repo_root) -> Path:
    """Work directory of a whole run."""
    work_dir = tmp_path_factory.mktemp('unbroken')
    result = run([sys.executable, *command('tools/train.py', data_root, work_dir)], repo_root)
    assert result.returncode == 0, result.stderr[-2000:]
    return work_dir


def test_loss_is_logged_and_finite(unbroken):
    curve = losses(unbroken)
    assert sorted(curve) == list(range(1, ITERATIONS + 1))
    assert np.isfinite(list(curve.values())).all()


def test_killed_run_goes_on_with_the_same_losses(unbroken, data_root, tmp_path, repo_root):
    """Kill -9 once the checkpoint of iteration 4 is there; the resumed run must log what the unbroken one logged."""
    process = subprocess.Popen(
        [sys.executable, *command('tools/train.py', data_root, tmp_path)],
        cwd=repo_root,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / 'last_checkpoint').exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The run may have got further than the kill meant: go on from iteration 4 in any case.
    checkpoint = tmp_path / 'iter_4.pth'
    assert checkpoint.exists()
    result = run(
        [sys.executable, *command('tools/train.py', data_root, tmp_path, '--resume', str(checkpoint))], repo_root
    )
    assert result.returncode == 0, result.stderr[-2000:]
    resumed = losses(tmp_path)
    expected = losses(unbroken)
    assert sorted(resumed) == sorted(expected)
    # The same process on the same machine: float32 rounding is all that may differ.
    for step in range(5, ITERATIONS + 1):
        assert resumed[step] == pytest.approx(expected[step], abs=1e-5)
    first, second = (
        torch.load(folder / f'iter_{ITERATIONS}.pth', weights_only=False) for folder in (unbroken, tmp_path)
    )
    for name, value in first['state_dict'].items():
        torch.testing.assert_close(second['state_dict'][name], value, rtol=0, atol=1e-5)


def test_evaluation_prints_both_sides(unbroken, data_root, tmp_path, repo_root):
    table = tmp_path / 'masks.csv'
    arguments = [str(unbroken / f'iter_{ITERATIONS}.pth'), '--per-mask', str(table)]
    result = run([sys.executable, *command('tools/test.py', data_root, tmp_path, *arguments)], repo_root)
    assert result.returncode == 0, result.stderr[-2000:]
    assert 'harm %' in result.stdout and 'num_masks: 3' in result.stdout
    assert len(table.read_text().splitlines()) >= 4


def test_two_processes_mixed_precision_and_accumulation(data_root, tmp_path, repo_root):
    script, config, *arguments = command('tools/dist_train.sh', data_root, tmp_path)
    result = run(
        ['bash', script, config, '2', '--amp', *arguments, 'optim_wrapper.accumulative_counts=2'],
        repo_root,
        env={'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    curve = losses(tmp_path)
    assert sorted(curve) == list(range(1, ITERATIONS + 1)) and np.isfinite(list(curve.values())).all()
    assert "type='Bf16OptimWrapper'" in (next(tmp_path.glob('*.py'))).read_text()
