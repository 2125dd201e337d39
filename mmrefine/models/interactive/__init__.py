"""Interactive segmentation: SAM 2 with its refiner, prompted by clicks, boxes and masks."""

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

__all__ = [
    'CoarseMasks',
    'SAM2Features',
    'build_base',
    'captured_stages',
    'check_base',
    'encode_images',
    'local_features',
    'prompt_masks',
    'small_overrides',
    'stage_channels',
]
