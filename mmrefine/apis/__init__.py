"""Python API: refinement of images and masks in memory."""

from mmrefine.apis.detections import refine_detections, refine_sample
from mmrefine.apis.inferencer import RefineInferencer, refine
from mmrefine.apis.predictions import refine_predictions
from mmrefine.apis.refined_model import RefinedModel
from mmrefine.models.model_zoo import BUNDLED_MODELS, build_refiner, find_checkpoint, load_weights

__all__ = [
    'BUNDLED_MODELS',
    'RefineInferencer',
    'RefinedModel',
    'build_refiner',
    'find_checkpoint',
    'load_weights',
    'refine',
    'refine_detections',
    'refine_predictions',
    'refine_sample',
]
