"""Interactive segmentation: SAM 2 with its refiner, prompted by clicks, boxes and masks."""

from mmrefine.models.interactive.data_preprocessor import SAM2DataPreprocessor
from mmrefine.models.interactive.sam2_base import (
    CoarseMasks,
    SAM2Features,
    build_base,
    captured_stages,
    check_base,
    encode_images,
    local_features,
    prompt_masks,
    small_overrides,
    stage_channels,
)
from mmrefine.models.interactive.sam2_refiner import ObjectLogits, SAM2Refiner
from mmrefine.models.interactive.sam2_refiner_backend import SAM2RefinerBackend
from mmrefine.models.interactive.sam2_refiner_predictor import PredictedMasks, SAM2RefinerPredictor

__all__ = [
    'CoarseMasks',
    'ObjectLogits',
    'PredictedMasks',
    'SAM2DataPreprocessor',
    'SAM2Features',
    'SAM2Refiner',
    'SAM2RefinerBackend',
    'SAM2RefinerPredictor',
    'build_base',
    'captured_stages',
    'check_base',
    'encode_images',
    'local_features',
    'prompt_masks',
    'small_overrides',
    'stage_channels',
]
