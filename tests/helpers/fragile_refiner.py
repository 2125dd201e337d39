"""A refiner that takes its process with it, once, for tests of jobs in several processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mmrefine.models.refiners import BaseRefiner, RefineInput
from mmrefine.registry import MODELS


@MODELS.register_module()
class FragileRefiner(BaseRefiner):
    """Adds some bright pixels to masks; draws which from the input's generator.

    The first process that has refined so many images is killed, unless the marker says that this happened already.

    Args:
        marker: a file.
        lives: images.
        rank: the process that it is to be; None for any.
    """

    def __init__(self, marker: str, lives: int, rank: int | None = None):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.1))
        self.marker, self.lives, self.rank = Path(marker), lives, rank

    def forward(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError('this refiner has nothing to learn')

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[tuple[np.ndarray, np.ndarray]]:
        self.lives -= len(inputs)
        if self.lives < 0 and self.rank in (None, int(os.environ.get('RANK', 0))):
            self._die_once()
        return [self._refine_image(item) for item in inputs]

    def _refine_image(self, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        drawn = (torch.rand(item.masks.shape, generator=item.generator) < self.share.item()).numpy()
        return item.masks | (drawn & (item.image.mean(axis=2) > 100)), np.ones(len(item.masks))

    def _die_once(self) -> None:
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
