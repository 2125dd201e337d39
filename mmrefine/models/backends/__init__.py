"""Promptable segmentation models with a common interface; their packages are imported when a model is built."""

from mmrefine.models.backends.base_backend import PromptBackend, PromptFeatures
from mmrefine.models.backends.feature_cache import FeatureCache
from mmrefine.models.backends.sam2_backend import SAM2Backend
from mmrefine.models.backends.sam_backend import SAMBackend
from mmrefine.models.backends.sam_hq_backend import SAMHQBackend

__all__ = [
    'FeatureCache',
    'PromptBackend',
    'PromptFeatures',
    'SAM2Backend',
    'SAMBackend',
    'SAMHQBackend',
]
