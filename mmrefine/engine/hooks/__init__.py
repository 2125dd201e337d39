"""Hooks of mmengine's Runner."""

from mmrefine.engine.hooks.fast_forward_hook import FastForwardHook

__all__ = ['FastForwardHook']
