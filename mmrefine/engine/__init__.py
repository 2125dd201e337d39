"""What plugs into mmengine's Runner."""

from mmrefine.engine.hooks import FastForwardHook
from mmrefine.engine.optim_wrapper import Bf16OptimWrapper

__all__ = ['Bf16OptimWrapper', 'FastForwardHook']
