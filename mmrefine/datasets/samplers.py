"""Sampler with which training resumes at the next sample."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from mmrefine.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SequentialShareSampler(Sampler):
    """Sampler that distributes consecutive indices to processes in turn, without shuffling.

    Args:
        dataset: a dataset of random samples such as :class:`~mmrefine.datasets.MixtureDataset`.
        seed: ignored; mmengine passes it.
        start: number of indices that each process skips; see :class:`~mmrefine.engine.FastForwardHook`.
    """

    def __init__(self, dataset: Sized, seed: int | None = None, start: int = 0):
        self.length = len(dataset)
        self.start = start
        self.rank, self.world_size = get_dist_info()

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank + self.start * self.world_size, self.length, self.world_size))

    def __len__(self) -> int:
        return self.length // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: the order does not depend on the epoch."""
