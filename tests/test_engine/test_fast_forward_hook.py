"""A resumed training loads only the samples that it trains on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset


class Numbers(Dataset):
    """Its indices, and which of them were loaded."""

    def __init__(self) -> None:
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> dict:
        self.loaded.append(index)
        return {'inputs': torch.tensor([float(index)])}


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[float]] = []

    def forward(self, inputs: list[torch.Tensor], mode: str) -> dict[str, torch.Tensor]:
        values = torch.stack(list(inputs))
        self.seen.append(values.flatten().tolist())
        return {'loss': (self.slope * values).mean()}


def train(work_dir: Path, iters: int, resume: bool) -> tuple[list[int], list[list[float]]]:
    """Loaded indices, and batches that the model saw, of a training with two samples per iteration."""
    model = Line()
    sampler = {'type': 'SequentialShareSampler'}
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader={'batch_size': 2, 'num_workers': 0, 'sampler': sampler, 'dataset': Numbers()},
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': iters},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': iters}},
        custom_hooks=[{'type': 'FastForwardHook'}],
        default_scope='mmrefine',
        experiment_name=f'{work_dir.name}_{iters}',
        resume=resume,
    )
    runner.train()
    return runner.train_loop.dataloader.dataset.loaded, model.seen


@pytest.mark.filterwarnings('ignore')
def test_samples_of_past_iterations_are_not_loaded(tmp_path: Path):
    loaded, seen = train(tmp_path, 3, resume=False)
    assert seen == [[0, 1], [2, 3], [4, 5]]
    loaded, seen = train(tmp_path, 5, resume=True)
    assert seen == [[6, 7], [8, 9]] and min(loaded) == 6
