"""Models of MMDetection and MMSegmentation that refine their own predictions, also in inferencers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from torch import nn

from mmrefine.engine.hooks import RefineHook
from mmrefine.engine.prediction_refiner import PredictionRefiner
from mmrefine.models.model_zoo import build_refiner
from mmrefine.models.refiners import BaseRefiner
from mmrefine.registry import MODELS


@MODELS.register_module()
def RefinedModel(model_type: str | type, refine: dict, **model: Any) -> nn.Module:  # noqa: N802 (configs name it as a type)
    """Build a model of another package that refines its predictions in ``test_step`` and ``val_step``.

    Inferencers and ``inference_detector`` do not run hooks, so they need this instead of
    :class:`~mmrefine.engine.RefineHook`. The model loads its usual checkpoints, because the refiner is not one of its
    modules. In a Runner it works too, but only the hook supports test-time augmentation and RefineEvaluator.

    .. code-block:: python

        _base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
        custom_imports = dict(imports=['mmrefine.compat.auto'])
        model = dict(
            type='mmrefine.RefinedModel',
            model_type='MaskRCNN',
            refine=dict(refiner='segrefiner_tiny', score_thr=0.3),
        )

    Args:
        model_type: the ``type`` that the config would have otherwise.
        refine: options of :class:`~mmrefine.engine.RefineHook`; names of classes are looked up in the model's
            ``dataset_meta``, which inferencers set, or in the dataset of the Runner that builds the model. A model
            that is used otherwise, or built before its Runner, needs ``model.dataset_meta = dict(classes=...)`` for
            them and for the background of semantic maps.
        model: the rest of the model's config.

    Raises:
        FileNotFoundError, TypeError, ValueError: the refiner cannot be built, or an option is unknown.

    Example:
        >>> from mmengine.model import BaseModel
        >>> class Detector(BaseModel):
        ...     def forward(self, inputs, data_samples=None, mode='tensor'):
        ...         return data_samples
        >>> model = RefinedModel(Detector, refine=dict(refiner='segrefiner_tiny'))
        >>> isinstance(model, Detector)
        True
    """
    options = RefineHook(**refine)
    refiner = options.refiner
    if not isinstance(refiner, BaseRefiner):
        with torch.random.fork_rng(devices=[]):  # do not change the initial weights of the model
            refiner = build_refiner(refiner, options.checkpoint, options.device or 'cpu')
    built = ROOT_MODELS.build({'type': model_type, **model})
    built.__class__ = type(type(built).__name__, (_Refined, type(built)), {})
    built._refinement = _Refinement(refiner.with_gate(options.gate), options)
    return built


class _Refined:
    """Mixin that refines the predictions of a model."""

    def val_step(self, data: Any) -> list:
        return self._refinement(self, super().val_step(data), data)

    def test_step(self, data: Any) -> list:
        return self._refinement(self, super().test_step(data), data)


class _Refinement:
    """A refiner with its options; not a module, so that the model neither saves nor trains it."""

    def __init__(self, refiner: BaseRefiner, options: RefineHook):
        self.refiner, self.options = refiner, options
        self._visualizer = _current_visualizer()
        self._meta_before = getattr(self._visualizer, 'dataset_meta', None)

    def __deepcopy__(self, memo: dict) -> _Refinement:
        return self  # copies of the model, such as its moving average, share the refiner

    def __call__(self, model: nn.Module, predictions: list[BaseDataElement], data: Any) -> list[BaseDataElement]:
        if any(sample.metainfo.get('flip') for sample in predictions):
            raise ValueError(
                'RefinedModel needs predictions on the original image, got one on a flipped image, as in test-time '
                'augmentation; use RefineHook in a Runner, which refines the merged prediction.'
            )
        if self.options.device is None:
            self.refiner.to(next(model.parameters()).device)
        names = (self._dataset_meta(model) or {}).get('classes')
        return PredictionRefiner.from_options(self.refiner, names, **self.options.options)(predictions, data)

    def _dataset_meta(self, model: nn.Module) -> Mapping | None:
        """Metainfo of the dataset: that of the model, or of the Runner that built it.

        The loops of a Runner give it to the visualizer, which is there before the model; what the visualizer knew
        already when the model was built is of an earlier Runner.
        """
        meta = getattr(model, 'dataset_meta', None)
        if meta is None and self._visualizer is not None and self._visualizer.dataset_meta is not self._meta_before:
            meta = self._visualizer.dataset_meta
        return meta


def _current_visualizer() -> Visualizer | None:
    with suppress(RuntimeError):  # there is none
        return Visualizer.get_current_instance()
    return None
