"""What both trainings share: progress by steps and by the clock, the learning rate, the images of a batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmrefine.core.checks import IMAGENET_MEAN, IMAGENET_STD
from mmrefine.files.atomic import whole_file

_MEAN, _STD = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
_SAVE_EVERY_S = 60.0
_WARMUP_STEPS = 100


class Progress:
    """Where a training stands: it ends after so many steps or seconds, whichever is first, and goes on after a kill.

    Args:
        path: checkpoint file.
        steps: steps at most.
        seconds: seconds at most, those of earlier starts included.
        stateful: modules and optimizers by name, whose state is kept in the checkpoint.
    """

    def __init__(self, path: Path, steps: int, seconds: float, stateful: dict[str, object]):
        self.path, self.max_steps, self.max_seconds, self.stateful = path, steps, seconds, stateful
        self.step, self._seconds_before = 0, 0.0
        if path.is_file():
            state = torch.load(path, weights_only=True)
            self.step, self._seconds_before = state['step'], state['seconds']
            for name, item in stateful.items():
                item.load_state_dict(state[name])
        self._start = self._saved = time.monotonic()
        self.done = max(self.step / steps, self._seconds_before / seconds) >= 1

    @property
    def seconds(self) -> float:
        """Seconds of training up to now, or to its end."""
        return self._seconds_before + (0.0 if self.done else time.monotonic() - self._start)

    @property
    def share(self) -> float:
        """How much is done, in [0, 1]."""
        return min(1.0, max(self.step / self.max_steps, self.seconds / self.max_seconds))

    def learning_rate(self, peak: float) -> float:
        """A linear rise over the first steps, then half a cosine down to 0 as the training ends."""
        return peak * min(1.0, (self.step + 1) / _WARMUP_STEPS) * (1 + math.cos(math.pi * self.share)) / 2

    def advance(self) -> None:
        """Count a step, and save now and then and at the end."""
        self.step += 1
        if self.share == 1:
            self._seconds_before, self.done = self.seconds, True
        if self.done or time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the checkpoint."""
        states = {name: item.state_dict() for name, item in self.stateful.items()}
        with whole_file(self.path, 'wb') as file:
            torch.save({'step': self.step, 'seconds': self.seconds, **states}, file)
        self._saved = time.monotonic()


def normalize(images: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 RGB to what the encoder takes, (B, 3, S, S) float32."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - _MEAN) / _STD


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group['lr'] = value


Log = Callable[[str], None]
