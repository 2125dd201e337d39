"""Ways in for people: refinement in Python, and jobs over whole data sets."""

from mmrefine.apis.inferencer import RefineInferencer, refine
from mmrefine.apis.model_zoo import BUNDLED_MODELS, build_refiner, load_weights

__all__ = ['BUNDLED_MODELS', 'RefineInferencer', 'build_refiner', 'load_weights', 'refine']
