"""Hook that logs pseudo labels and warns if a teacher produces none."""

from __future__ import annotations

import logging

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmrefine.registry import HOOKS


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """Hook that logs number and mean quality of the pseudo labels of each iteration, over all processes.

    They are logged as ``pseudo_labels`` and ``pseudo_quality`` with the losses, for the current iteration;
    ``LogProcessor(mean_pattern=...)`` averages them. The model needs an attribute ``last_pseudo_labels``, as
    :class:`~mmrefine.models.detectors.MaskTeacher` has.

    Args:
        patience: warn whenever this number of consecutive iterations had no pseudo label.
    """

    priority = 'NORMAL'  # before the LoggerHook

    def __init__(self, patience: int = 100) -> None:
        if patience < 1:
            raise ValueError(f'patience must be at least 1 iteration, got {patience}.')
        self.patience = patience
        self._without = 0
        self._best_score = 0.0

    def before_train(self, runner: Runner) -> None:
        """Check the model.

        Raises:
            TypeError: the model does not produce pseudo labels.
        """
        if not hasattr(_unwrapped(runner), 'last_pseudo_labels'):
            raise TypeError(
                'PseudoLabelHook needs a model that produces pseudo labels, such as mmrefine.MaskTeacher, got '
                f'{type(_unwrapped(runner)).__name__}.'
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Log the iteration's pseudo labels."""
        stats = _unwrapped(runner).last_pseudo_labels
        sums = torch.tensor([stats.num_labels, stats.num_labels * stats.mean_quality], dtype=torch.float64)
        best = torch.tensor(stats.best_score)
        all_reduce(sums)
        all_reduce(best, 'max')
        num_labels, total_quality = sums.tolist()
        runner.message_hub.update_scalar('train/pseudo_labels', num_labels)
        runner.message_hub.update_scalar('train/pseudo_quality', total_quality / max(num_labels, 1))
        self._warn(num_labels, best.item())

    def _warn(self, num_labels: float, best_score: float) -> None:
        self._without = 0 if num_labels else self._without + 1
        self._best_score = max(best_score, self._best_score if self._without > 1 else 0.0)
        if self._without and self._without % self.patience == 0:
            print_log(
                f'no pseudo label in {self._without} iterations; the best score of the teacher was '
                f'{self._best_score:.3f}. Lower the thresholds of label_filter, or start from a detector that was '
                'trained on the labelled images.',
                logger='current',
                level=logging.WARNING,
            )


def _unwrapped(runner: Runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
