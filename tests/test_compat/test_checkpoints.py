"""mmengine's own checkpoints under PyTorch's safe loading: a run resumes, and what is not of mmengine is refused."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch.utils.data import Dataset

from mmrefine.compat import allow_mmengine_checkpoints

SAFE_BY_DEFAULT = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


@pytest.fixture(autouse=True)
def allowed():
    allow_mmengine_checkpoints()


class Points(Dataset):
    METAINFO = {'scales': np.array([0.5, 1.0]), 'classes': ('a', 'b')}
    metainfo = METAINFO

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([1.0, index, index**2]) / 64


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, *points: torch.Tensor, mode: str = 'tensor') -> dict:
        return {'loss': (self.linear(torch.stack(points)) - 1).square().mean()}


def make_runner(work_dir: Path, max_iters: int, resume: bool = False) -> Runner:
    torch.manual_seed(0)
    return Runner(
        Line(),
        str(work_dir),
        train_dataloader={
            'dataset': Points(),
            'batch_size': 2,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg={'by_epoch': False, 'max_iters': max_iters},
        optim_wrapper={'type': 'OptimWrapper', 'optimizer': {'type': 'AdamW', 'lr': 0.05}},
        param_scheduler={'type': 'LinearLR', 'by_epoch': False, 'end': 8},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 4}},
        resume=resume,
        log_level='ERROR',
        experiment_name=f'{work_dir.name}_{max_iters}_{resume}',
    )


def train(work_dir: Path, max_iters: int, resume: bool = False) -> Runner:
    runner = make_runner(work_dir, max_iters, resume)
    runner.train()
    return runner


def losses(runner: Runner) -> np.ndarray:
    return runner.message_hub.get_scalar('train/loss').data[0]


def test_a_stopped_run_ends_as_an_unbroken_one(tmp_path):
    unbroken = train(tmp_path / 'unbroken', 8)
    train(tmp_path / 'stopped', 4)
    resumed = train(tmp_path / 'stopped', 8, resume=True)
    assert resumed.iter == 8
    torch.testing.assert_close(resumed.model.state_dict(), unbroken.model.state_dict(), rtol=0, atol=0)
    np.testing.assert_array_equal(losses(resumed), losses(unbroken))  # the log history came back whole
    assert len(losses(resumed)) == 8


def test_checkpoint_loads_with_the_safety_on(tmp_path):
    train(tmp_path, 4)
    checkpoint = torch.load(tmp_path / 'iter_4.pth', weights_only=True)
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.statistics('mean') == pytest.approx(history.mean())
    np.testing.assert_array_equal(checkpoint['meta']['dataset_meta']['scales'], [0.5, 1.0])


def rewrite_pickle(path: Path, old: bytes, new: bytes) -> None:
    """Replaces bytes of the pickle inside a checkpoint file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(old, new) if name.endswith('data.pkl') else content)


@pytest.mark.parametrize('core', ['core', '_core'])
def test_numpy_of_either_layout_loads(tmp_path, core):
    """A checkpoint written under numpy 1 names ``numpy.core``, one written under numpy 2 ``numpy._core``."""
    values = {'array': np.arange(3.0), 'flags': np.array([True, False]), 'half': np.float32(0.5), 'seven': np.int64(7)}
    path = tmp_path / 'numpy.pth'
    torch.save(values, path)
    written = np.float64().__reduce__()[0].__module__.encode()
    rewrite_pickle(path, b'c' + written + b'\n', f'cnumpy.{core}.multiarray\n'.encode())
    assert f'cnumpy.{core}.multiarray\nscalar'.encode() in path.read_bytes()

    loaded = torch.load(path, weights_only=True)
    np.testing.assert_array_equal(loaded['array'], values['array'])
    np.testing.assert_array_equal(loaded['flags'], values['flags'])
    assert loaded['half'] == 0.5 and loaded['half'].dtype == np.float32
    assert loaded['seven'] == 7 and loaded['seven'].dtype == np.int64


class Calls:
    """Pickles as a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_malicious_checkpoint_is_refused(tmp_path):
    """It would create a file when unpickled; both the safe loader and mmengine's loading of a model refuse it."""
    trace, path = tmp_path / 'trace', tmp_path / 'evil.pth'
    torch.save({'state_dict': {}, 'evil': Calls(open, str(trace), 'w')}, path)
    with pytest.raises(pickle.UnpicklingError, match='open'):
        torch.load(path, weights_only=True)
    if SAFE_BY_DEFAULT:
        with pytest.raises(pickle.UnpicklingError, match='open'):
            load_checkpoint(Line(), str(path))
    assert not trace.exists()


@pytest.mark.parametrize(('owner', 'name'), [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile'), (dict, 'min')])
def test_getattr_in_a_checkpoint_reaches_statistics_only(tmp_path, owner, name):
    """mmengine pickles ``getattr(HistoryBuffer, 'min')``; allowing getattr itself would open every attribute."""
    path = tmp_path / 'getattr.pth'
    torch.save(Calls(getattr, owner, name), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    torch.save(Calls(getattr, HistoryBuffer, 'min'), path)
    assert torch.load(path, weights_only=True) is HistoryBuffer.min


@pytest.mark.skipif(not SAFE_BY_DEFAULT, reason='this PyTorch loads unsafely by default')
def test_without_the_allow_list_mmengine_cannot_resume(tmp_path):
    """The reason for this file: when it fails, mmengine or PyTorch has learnt it and the file can go."""
    train(tmp_path, 4)
    with torch.serialization.safe_globals([]):
        torch.serialization.clear_safe_globals()
        with pytest.raises(pickle.UnpicklingError):
            torch.load(tmp_path / 'iter_4.pth')
