"""SAM2Refiner: a frozen SAM 2 with three trained modules, for images and, with SAM 2's video predictor, for clips.

Subclasses of classes of the package sam2 are imported on first use (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmrefine.models.sam2_refiner.backend import SAM2RefinerBackend
from mmrefine.models.sam2_refiner.base import CoarseMasks, SAM2Features
from mmrefine.models.sam2_refiner.core import RefinedLogits, SAM2RefinerCore
from mmrefine.models.sam2_refiner.data_preprocessor import SAM2DataPreprocessor
from mmrefine.models.sam2_refiner.decoder_capture import DecoderState
from mmrefine.models.sam2_refiner.localization_augment import LocalizationAugment
from mmrefine.models.sam2_refiner.mask_refinement import MaskRefinement
from mmrefine.models.sam2_refiner.predictor import PredictedMasks, SAM2RefinerPredictor
from mmrefine.models.sam2_refiner.prompt_retargeting import PromptRetargeting, ReceptiveFieldBlock
from mmrefine.models.sam2_refiner.sam2_refiner import ObjectLogits, SAM2Refiner

_NEED_SAM2 = {
    'SAM2Propagator': 'tracking',
    'SAM2RefinerVideoPredictor': 'video_predictor',
    'TrackingVideoRefiner': 'tracking',
    'build_video_predictor': 'build_predictor',
}

__all__ = [  # noqa: F822  (the rest is in _NEED_SAM2)
    'CoarseMasks',
    'DecoderState',
    'LocalizationAugment',
    'MaskRefinement',
    'ObjectLogits',
    'PredictedMasks',
    'PromptRetargeting',
    'ReceptiveFieldBlock',
    'RefinedLogits',
    'SAM2DataPreprocessor',
    'SAM2Features',
    'SAM2Propagator',
    'SAM2Refiner',
    'SAM2RefinerBackend',
    'SAM2RefinerCore',
    'SAM2RefinerPredictor',
    'SAM2RefinerVideoPredictor',
    'TrackingVideoRefiner',
    'build_video_predictor',
]


def __getattr__(name: str) -> Any:
    if name in _NEED_SAM2:
        return getattr(import_module(f'{__name__}.{_NEED_SAM2[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
