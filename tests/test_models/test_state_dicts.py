"""Checkpoints are read without running what is in them, and what does not fit a model is put into words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from mmrefine.models.state_dicts import describe_key_mismatch, mismatched_keys, read_state_dict


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 2)).state_dict()


def save(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_weights_by_themselves_under_a_key_and_of_parallel_training(tmp_path: Path, weights: dict) -> None:
    parallel = {f'module.{name}': value for name, value in weights.items()}
    for content in (weights, {'model': weights, 'epoch': 3}, {'state_dict': weights}, {'state_dict': parallel}):
        read = read_state_dict(save(content, tmp_path / 'w.pth'))
        assert read.keys() == weights.keys() and all(torch.equal(read[name], weights[name]) for name in read)


def test_files_that_are_no_checkpoint(tmp_path: Path, weights: dict) -> None:
    path = save(weights, tmp_path / 'w.pth')
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-100], b'', b'some text\n', b'\x89PNG\r\n', b'{"a": 1}'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='w.pth is not a PyTorch checkpoint, or it is damaged'):
            read_state_dict(path)
    for content in ([1, 2], {'meta': 1}, {}, {'state_dict': {}}):
        with pytest.raises(ValueError, match='w.pth contains no weights: expected a state dict'):
            read_state_dict(save(content, path))
    with pytest.raises(FileNotFoundError, match='checkpoint .*nowhere.pth does not exist'):
        read_state_dict(tmp_path / 'nowhere.pth')


class _Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, weights: dict) -> None:
    checkpoint = save({'state_dict': weights, 'meta': _Trap(tmp_path / 'trapped')}, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match='Python objects besides tensors, which could run code'):
        read_state_dict(checkpoint)
    assert not (tmp_path / 'trapped').exists()


def test_differences_in_words() -> None:
    wanted = {'a': torch.zeros(2), 'b': torch.zeros(3, 1)}
    other = mismatched_keys(wanted, {'a': torch.zeros(2), 'b': torch.zeros(3), 'c': torch.zeros(1)})
    assert other == {'b': 'b (3,) instead of (3, 1)'}
    assert (
        describe_key_mismatch([], ['c'], list(other.values()))
        == '1 unexpected (c), 1 of another shape (b (3,) instead of (3, 1))'
    )
    assert describe_key_mismatch(list('wxyz'), [], []) == '4 missing (w, x, y, …)'
    assert describe_key_mismatch([], [], []) == ''
