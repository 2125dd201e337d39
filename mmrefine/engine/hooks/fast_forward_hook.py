"""Resuming without loading the samples of past iterations."""

from __future__ import annotations

from itertools import chain, repeat

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmrefine.registry import HOOKS


@HOOKS.register_module()
class FastForwardHook(Hook):
    """Hook that starts the sampler where the checkpoint ended.

    mmengine's loop skips trained iterations by loading and dropping their batches. Where the sampler can start anywhere
    (:class:`~mmrefine.datasets.SequentialShareSampler`), the loop gets empty batches to drop instead.
    """

    def before_train(self, runner: Runner) -> None:
        loop = runner.train_loop
        sampler = getattr(loop.dataloader, 'sampler', None)
        if runner.iter and isinstance(loop, IterBasedTrainLoop) and hasattr(sampler, 'start'):
            sampler.start = runner.iter * loop.dataloader.batch_size
            loop.dataloader_iterator = chain(repeat(None, runner.iter), iter(loop.dataloader))
