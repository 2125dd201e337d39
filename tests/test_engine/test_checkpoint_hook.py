"""No training ends with less than it had: checkpoints are whole and finite, old ones go last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

import mmrefine.engine  # noqa: F401  (fill the registry)
from mmrefine.engine.hooks import CheckInvalidLossHook
from mmrefine.files.atomic import OutputError


class Points(Dataset):
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([1.0, index / 100])


class Line(BaseModel):
    """Its loss, or its gradient alone, is NaN at an iteration."""

    def __init__(self, bad_loss: int | None = None, bad_gradient: int | None = None):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.bad_loss, self.bad_gradient, self.count = bad_loss, bad_gradient, 0

    def forward(self, *points: torch.Tensor, mode: str = 'tensor') -> dict | list:
        error = (self.linear(torch.stack(points)) - 1).square().mean()
        if mode != 'loss':
            return [error]
        self.count += 1
        if self.count == self.bad_loss:
            error = error * torch.nan
        if self.count == self.bad_gradient:
            error.register_hook(lambda gradient: gradient * torch.nan)
        return {'loss': error}


class Rising(BaseMetric):
    """Better at every evaluation."""

    count = 0

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict:
        self.count += 1
        return {'good': self.count}


def make_runner(work_dir: Path, model: Line, **options: object) -> Runner:
    torch.manual_seed(0)
    loader = {
        'dataset': Points(),
        'batch_size': 2,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'pseudo_collate'},
    }
    checkpoint = {'type': 'mmrefine.WholeCheckpointHook', 'by_epoch': False, 'interval': 2, 'max_keep_ckpts': 1}
    evaluation = {}
    if 'save_best' in options:
        evaluation = {'val_dataloader': loader, 'val_cfg': {}, 'val_evaluator': [Rising()]}
    return Runner(
        model,
        str(work_dir),
        train_dataloader=loader,
        train_cfg={'by_epoch': False, 'max_iters': 6, 'val_interval': 2},
        optim_wrapper={'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.05}},
        default_hooks={'checkpoint': {**checkpoint, **options}},
        custom_hooks=[CheckInvalidLossHook()],
        log_level='ERROR',
        experiment_name=str(work_dir),
        **evaluation,
    )


def checkpoints(work_dir: Path) -> list[str]:
    return sorted(path.name for path in work_dir.glob('*.pth'))


def fill_disk_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when a file of this name is to be written."""
    fsync = os.fsync

    def full(number: int) -> None:
        if name in os.readlink(f'/proc/self/fd/{number}'):
            raise OSError(28, 'No space left on device')
        fsync(number)

    monkeypatch.setattr(os, 'fsync', full)


def test_the_old_checkpoint_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    fill_disk_at('iter_4', monkeypatch)
    with pytest.raises(OutputError, match='the disk is full: .*iter_4.pth'):
        make_runner(tmp_path, Line()).train()
    assert checkpoints(tmp_path) == ['iter_2.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_2.pth')


def test_old_checkpoints_go_in_the_end(tmp_path):
    make_runner(tmp_path, Line()).train()
    assert checkpoints(tmp_path) == ['iter_6.pth']
    assert not list(tmp_path.glob('.*.unfinished'))


def test_the_best_checkpoint_stays_until_the_better_one_is_whole(tmp_path, monkeypatch):
    fill_disk_at('best_good_iter_4', monkeypatch)
    with pytest.raises(OutputError, match='the disk is full: .*best_good_iter_4.pth'):
        make_runner(tmp_path, Line(), save_best='good', rule='greater').train()
    assert 'best_good_iter_2.pth' in checkpoints(tmp_path)


def test_an_evaluation_alone_needs_no_checkpoint(tmp_path):
    assert make_runner(tmp_path, Line(), save_best=None, rule=None).val() == {'good': 1}


def test_a_loss_that_is_no_number_ends_the_training_with_the_last_good_checkpoint(tmp_path):
    with pytest.raises(RuntimeError, match='the loss is nan at iteration 4; the last checkpoint is .*iter_2.pth'):
        make_runner(tmp_path, Line(bad_loss=4)).train()
    assert checkpoints(tmp_path) == ['iter_2.pth']
    weights = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert all(value.isfinite().all() for value in weights.values())


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """The loss of iteration 4 is fine, its gradient is not."""
    with pytest.raises(RuntimeError, match='2 of 2 parameters and buffers .* NaN .* at iteration 4, such as linear'):
        make_runner(tmp_path, Line(bad_gradient=4)).train()
    assert checkpoints(tmp_path) == ['iter_2.pth']


def test_the_hooks_are_in_the_configs(repo_root):
    for name in ('segrefiner/segrefiner_tiny_photos', 'sam_refiner/sam-refiner-pp_vit-b_coco'):
        hooks = Config.fromfile(repo_root / f'configs/{name}.py').default_hooks
        assert hooks.checkpoint.type == 'WholeCheckpointHook' and hooks.finite_loss.type == 'CheckInvalidLossHook'


def test_weights_that_are_no_numbers_are_not_the_best(tmp_path):
    """Evaluations come more often than other checkpoints."""
    with pytest.raises(RuntimeError, match='NaN .* at iteration'):
        make_runner(tmp_path, Line(bad_gradient=4), save_best='good', rule='greater', interval=100).train()
    assert checkpoints(tmp_path) == ['best_good_iter_2.pth']
