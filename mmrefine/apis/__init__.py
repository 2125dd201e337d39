"""Refinement in Python, in memory."""

from mmrefine.apis.inferencer import RefineInferencer, refine
from mmrefine.models.model_zoo import BUNDLED_MODELS, build_refiner, find_checkpoint, load_weights

__all__ = ['BUNDLED_MODELS', 'RefineInferencer', 'build_refiner', 'find_checkpoint', 'load_weights', 'refine']
