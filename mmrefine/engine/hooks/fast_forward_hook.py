"""Hook for resuming training without loading the samples of past iterations."""

from __future__ import annotations

from itertools import chain, repeat

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmrefine.registry import HOOKS


@HOOKS.register_module()
class FastForwardHook(Hook):
    """Hook that starts the sampler at the iteration of the checkpoint.

    mmengine's loop skips past iterations by loading and dropping their batches. If the sampler can start anywhere
    (:class:`~mmrefine.datasets.SequentialShareSampler`), this hook gives the loop empty batches to drop instead.
    """

    def before_train(self, runner: Runner) -> None:
        loop = runner.train_loop
        sampler = getattr(loop.dataloader, 'sampler', None)
        if runner.iter and isinstance(loop, IterBasedTrainLoop) and hasattr(sampler, 'start'):
            sampler.start = runner.iter * loop.dataloader.batch_size
            loop.dataloader_iterator = chain(repeat(None, runner.iter), iter(loop.dataloader))
