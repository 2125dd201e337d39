"""Training of SAM2Refiner by config: two processes, mixed precision, validation, a checkpoint of the trained part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('sam2')

CONFIG = 'configs/sam2_refiner/sam2-refiner_tiny_folder.py'
ITERATIONS = 3


def options(data_root: Path, **others: object) -> list[str]:
    """``--cfg-options`` of a short run on the data."""
    settings = {
        'train_cfg.max_iters': ITERATIONS,
        'train_cfg.val_interval': ITERATIONS,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': ITERATIONS,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.num_workers': 0,
        'model.loss.num_points': 256,
        **others,
    }
    for kind, role in (('images', 'img'), ('masks', 'mask')):
        settings[f'train_dataloader.dataset.datasets.0.data_prefix.{role}'] = data_root / 'train' / kind
        settings[f'val_dataloader.dataset.data_prefix.{role}'] = data_root / 'val' / kind
    return ['--cfg-options', *(f'{key}={value}' for key, value in settings.items())]


def run(repo_root: Path, *arguments: object, **environment: str) -> None:
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    result = subprocess.run(
        list(map(str, arguments)),
        cwd=repo_root,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PATH': path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope='module')
def work_dir(data_root, tmp_path_factory, repo_root) -> Path:
    """Of a run of two processes."""
    folder = tmp_path_factory.mktemp('work')
    tool = ('bash', 'tools/dist_train.sh', CONFIG, '2', '--amp', '--work-dir', folder)
    run(repo_root, *tool, *options(data_root))
    return folder


def scalars(work_dir: Path) -> list[dict]:
    lines = [path.read_text().splitlines() for path in work_dir.glob('*/vis_data/scalars.json')]
    return [json.loads(line) for part in lines for line in part]


def test_every_loss_is_logged_and_finite(work_dir):
    steps = [entry for entry in scalars(work_dir) if 'loss' in entry]
    assert len(steps) == ITERATIONS
    names = {'loss_bce', 'loss_dice', 'loss_aux1_bce', 'loss_aux3_dice'}
    assert all(names <= entry.keys() and np.isfinite(entry['loss']) for entry in steps)


def test_validation_compares_with_sam2_itself(work_dir):
    scores = [entry for entry in scalars(work_dir) if 'refined/iou' in entry]
    assert len(scores) == 1 and scores[0]['num_masks'] == 3
    assert 0 <= scores[0]['coarse/iou'] <= 1


def test_checkpoint_holds_the_trained_part(work_dir):
    """A core that started as SAM 2 itself has moved, and is float32."""
    state = torch.load(work_dir / f'iter_{ITERATIONS}.pth', map_location='cpu', weights_only=False)['state_dict']
    assert {name.split('.')[0] for name in state} == {'core'}
    assert state['core.mr.head.weight'].any() and state['core.pr.gate'] != 0
    assert all(value.dtype == torch.float32 for value in state.values())


def test_resumed_run_goes_on_with_the_same_losses(data_root, tmp_path, repo_root):
    """Draws follow from the iteration, and a checkpoint of the trained part is enough to go on from."""
    kept = {'default_hooks.checkpoint.interval': 2, 'default_hooks.checkpoint.max_keep_ckpts': 2}
    settings = options(data_root, **kept, **{'train_cfg.max_iters': 4, 'train_cfg.val_interval': 4})
    for name, resume in (('unbroken', ()), ('resumed', ('--resume', tmp_path / 'unbroken' / 'iter_2.pth'))):
        tool = (sys.executable, 'tools/train.py', CONFIG, '--work-dir', tmp_path / name)
        run(repo_root, *tool, *resume, *settings)
    unbroken, resumed = (
        {entry['step']: entry['loss'] for entry in scalars(tmp_path / name) if 'loss' in entry}
        for name in ('unbroken', 'resumed')
    )
    assert sorted(unbroken) == [1, 2, 3, 4] and sorted(resumed) == [3, 4]
    # The same process on the same machine: float32 rounding is all that may differ.
    assert resumed == pytest.approx({step: unbroken[step] for step in resumed}, abs=1e-5)
