"""Hook for test-time refinement in Runners of MMDetection and MMSegmentation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mmrefine.core.gate import summarize_kept
from mmrefine.core.selection import MaskSelection
from mmrefine.engine.prediction_images import FALLBACKS
from mmrefine.engine.prediction_refiner import PredictionRefiner
from mmrefine.engine.refine_wrapper import RefineWrapper
from mmrefine.evaluation import RefineEvaluator
from mmrefine.models.model_zoo import build_refiner
from mmrefine.models.refiners import BaseRefiner
from mmrefine.registry import HOOKS
from mmrefine.utils import counted


@HOOKS.register_module()
class RefineHook(Hook):
    """Hook that refines every prediction of validation and test before evaluators, hooks and dumps see it.

    mmengine's loops pass predictions to the evaluator before any hook, so they are refined inside the model's step: a
    :class:`~mmrefine.engine.RefineWrapper` wraps ``runner.model`` before each batch, after all other hooks, hence also
    around models for test-time augmentation and distributed models, and is removed when the model predicts. Training
    is not affected, and checkpoints contain no weights of the refiner.

    Inferencers (``DetInferencer``, ``MMSegInferencer``) and ``inference_detector`` do not run hooks: for them use
    :func:`mmrefine.RefinedModel <mmrefine.apis.refined_model.RefinedModel>` in the config, or pass their data samples
    to :func:`mmrefine.refine_predictions`.

    Instance masks, semantic and panoptic maps are refined. With refiners that take box prompts, boxes of models without
    masks become masks. Boxes, labels and logits are not changed. If there is a panoptic map, instances are refined only
    if a metric uses them.

    Args:
        refiner: name of a bundled model, a config (file or dict), or a refiner, which is neither copied nor moved.
        checkpoint: weights for a config, see :func:`~mmrefine.models.model_zoo.build_refiner`.
        device: device of the refiner; None: the device of the model.
        classes: names or indices of the classes to refine; None: all.
        score_thr, area_range, top_k: see :class:`~mmrefine.core.selection.MaskSelection`.
        gate: True: the refiner's gate; False: every proposal that is not empty is accepted; a dict such as
            ``dict(min_gain=0.02)`` changes settings of :class:`~mmrefine.core.gate.QualityGate`.
        rescore: multiply the scores of refined instances by the refiner's quality estimates.
        fallback: what to do without the original image: None: raise an error; 'network_input': refine on the resized
            network input.

    Raises:
        TypeError, ValueError: an option is invalid.
    """

    # After all other hooks, to wrap whatever they have put around the model.
    priority = 'LOWEST'

    def __init__(
        self,
        refiner: str | os.PathLike | dict | BaseRefiner,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        *,
        classes: Sequence[int | str] | None = None,
        score_thr: float = 0.0,
        area_range: tuple[float, float | None] = (0, None),
        top_k: int | None = None,
        gate: bool | Mapping = True,
        rescore: bool = False,
        fallback: str | None = None,
    ):
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback must be None or 'network_input', got {fallback!r}.")
        if isinstance(refiner, BaseRefiner) and checkpoint is not None:
            raise ValueError(
                'checkpoint can only be given with a config or a model name; this refiner has its weights already.'
            )
        self.refiner, self.checkpoint, self.device = refiner, checkpoint, device
        MaskSelection(None, score_thr, tuple(area_range), top_k)  # what is wrong with it shows at once
        self.gate = gate
        self.options = dict(
            classes=classes, score_thr=score_thr, area_range=area_range, top_k=top_k, rescore=rescore, fallback=fallback
        )

    def before_run(self, runner: Runner) -> None:
        """Build the refiner, so that its errors are raised before training."""
        if not isinstance(self.refiner, BaseRefiner):
            parameter = next(runner.model.parameters(), None)
            device = parameter.device if self.device is None and parameter is not None else self.device
            # Random initial weights of the refiner must not change those of the model.
            with torch.random.fork_rng(devices=[]):
                self.refiner = build_refiner(self.refiner, self.checkpoint, device)
        self.refiner = self.refiner.with_gate(self.gate)

    def before_train(self, runner: Runner) -> None:
        """Check the options against the validation data, so that errors are raised before training."""
        if runner.val_loop is not None:
            self._prepare(runner, runner.val_loop)

    def before_val(self, runner: Runner) -> None:
        self._prepare(runner, runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        self._prepare(runner, runner.test_loop)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._wrap_model(runner)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._wrap_model(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._report(runner, runner.val_loop)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._report(runner, runner.test_loop)

    def _prepare(self, runner: Runner, loop: BaseLoop) -> None:
        """Build what depends on the dataset and the evaluator of the loop, and on the visualizer."""
        metainfo = getattr(loop.dataloader.dataset, 'metainfo', None)
        names = metainfo.get('classes') if isinstance(metainfo, Mapping) else None
        self._refine = PredictionRefiner.from_options(
            self.refiner,
            names,
            **self.options,
            skipped=_unread_fields(loop.evaluator),
            keep_coarse=isinstance(loop.evaluator, RefineEvaluator)
            or getattr(runner.visualizer, 'draws_coarse', False),
        )

    def _wrap_model(self, runner: Runner) -> None:
        def restore(module: nn.Module) -> None:
            runner.model = module

        runner.model = RefineWrapper(runner.model, self._refine, restore)

    def _report(self, runner: Runner, loop: BaseLoop) -> None:
        """Log the decisions of the gate over all processes."""
        parts = all_gather_object(self._refine.decisions)
        decisions = [item for items in zip_longest(*parts) for item in items if item is not None]
        if getattr(loop.dataloader.sampler, 'round_up', False):  # the last ones are repeated to fill up the processes
            decisions = decisions[: len(loop.dataloader.dataset)]
        reasons = Counter(chain.from_iterable(decisions))
        num_masks, num_accepted = reasons.total(), reasons.pop('', 0)
        runner.logger.info(
            f'RefineHook: {type(self.refiner).__name__} replaced {num_accepted} of {counted(num_masks, "mask")}. '
            f'{summarize_kept(reasons, num_masks, in_python=True)}'
        )


def _unread_fields(evaluator: Evaluator) -> frozenset[str]:
    """Fields that no metric uses: instances if all metrics are panoptic."""
    names = [type(metric).__name__ for metric in evaluator.metrics]
    return frozenset({'pred_instances'} if names and all('Panoptic' in name for name in names) else ())
