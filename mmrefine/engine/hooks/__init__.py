"""Hooks of mmengine's Runner."""

from mmrefine.engine.hooks.checkpoint_hook import CheckInvalidLossHook, WholeCheckpointHook
from mmrefine.engine.hooks.fast_forward_hook import FastForwardHook
from mmrefine.engine.hooks.pseudo_label_hook import PseudoLabelHook
from mmrefine.engine.hooks.refine_hook import RefineHook
from mmrefine.engine.hooks.visualization_hook import RefineVisualizationHook

__all__ = [
    'CheckInvalidLossHook',
    'FastForwardHook',
    'PseudoLabelHook',
    'RefineHook',
    'RefineVisualizationHook',
    'WholeCheckpointHook',
]
