"""Hooks that write checkpoints atomically, and stop training when loss or weights are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmrefine.files.atomic import whole_file
from mmrefine.registry import HOOKS

_BACKEND = 'mmrefine.whole_files'


class WholeFileBackend(LocalBackend):
    """mmengine's local backend with atomic writes, and with removals that can be deferred."""

    def __init__(self):
        super().__init__()
        self._waiting: list[str] | None = None

    def put(self, obj: bytes, filepath: str) -> None:
        with whole_file(filepath, 'wb') as file:
            file.write(obj)

    def remove(self, filepath: str) -> None:
        if self._waiting is None:
            super().remove(filepath)
        else:
            self._waiting.append(filepath)

    @contextmanager
    def removing_last(self) -> Iterator[None]:
        """Context manager that defers removals to its end, and skips them after an exception."""
        self._waiting = []
        try:
            yield
            waiting = self._waiting
        finally:
            self._waiting = None
        for filepath in waiting:
            super().remove(filepath)


register_backend(_BACKEND, WholeFileBackend, force=True)


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that always leaves a complete and finite checkpoint.

    Files are written atomically; old checkpoints (``max_keep_ckpts``, ``save_best``) are removed only after the new one
    has been written; weights with NaN or infinite values are not saved but stop the training.

    Args:
        args, kwargs: arguments of mmengine's ``CheckpointHook``. With another backend in ``backend_args``, writes are
            not atomic and removals are not deferred.

    Raises:
        RuntimeError: weights are not finite when a checkpoint is saved.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{'backend_args': {'backend': _BACKEND}, **kwargs})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        _check_finite(runner, self.last_ckpt)
        with self._removing_last():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if self.save_best:
            _check_finite(runner, self.last_ckpt)
        with self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_last(self) -> Iterator[None]:
        """The backend's context manager; nested ones do nothing."""
        backend = getattr(self, 'file_backend', None)  # set when training begins
        if not isinstance(backend, WholeFileBackend) or backend._waiting is not None:
            yield
            return
        with backend.removing_last():
            yield


@HOOKS.register_module()
class CheckInvalidLossHook(Hook):
    """Hook that stops training when the loss is NaN or infinite, before a checkpoint is saved.

    It corresponds to MMDetection's hook of the same name, but checks every iteration by default.

    Args:
        interval: number of iterations between checks.

    Raises:
        RuntimeError: the loss is not finite.
    """

    def __init__(self, interval: int = 1):
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}.')
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Check the loss; hooks that save checkpoints have a lower priority."""
        loss = (outputs or {}).get('loss')
        if loss is None or not self.every_n_train_iters(runner, self.interval):
            return
        if not torch.isfinite(torch.as_tensor(loss)).all():
            raise RuntimeError(
                f'the loss is {float(loss)} at iteration {runner.iter + 1}; '
                f'{_advice(runner.message_hub.get_info("last_ckpt", None))}'
            )


def _check_finite(runner: Runner, last_checkpoint: str | None) -> None:
    weights = {name: value for name, value in runner.model.state_dict().items() if isinstance(value, torch.Tensor)}
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise RuntimeError(
            f'{len(broken)} of {len(weights)} parameters and buffers contain NaN or infinite values at iteration '
            f'{runner.iter + 1}, such as {broken[0]}; {_advice(last_checkpoint)}'
        )


def _advice(last_checkpoint: str | None) -> str:
    found = f'the last checkpoint is {last_checkpoint}: resume from it' if last_checkpoint else 'start again'
    return f'{found} with a lower learning rate, or clip gradients.'
