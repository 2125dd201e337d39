"""Components of mmengine's Runner: hooks, test-time refinement, optimizer wrapper."""

from mmrefine.engine.hooks import FastForwardHook, PseudoLabelHook, RefineHook, RefineVisualizationHook
from mmrefine.engine.optim_wrapper import Bf16OptimWrapper
from mmrefine.engine.prediction_refiner import PredictionRefiner
from mmrefine.engine.refine_wrapper import RefineWrapper

__all__ = [
    'Bf16OptimWrapper',
    'FastForwardHook',
    'PredictionRefiner',
    'PseudoLabelHook',
    'RefineHook',
    'RefineVisualizationHook',
    'RefineWrapper',
]
