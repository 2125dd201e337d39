"""The three modules of SAM2Refiner, and what joins them to a SAM 2."""

from mmrefine.models.modules.decoder_capture import DecoderState, captured_decoder, masks_of_embedding
from mmrefine.models.modules.localization_augment import LocalizationAugment
from mmrefine.models.modules.mask_refinement import MaskRefinement
from mmrefine.models.modules.prompt_retargeting import PromptRetargeting, ReceptiveFieldBlock
from mmrefine.models.modules.sam2_refiner_core import RefinedLogits, SAM2RefinerCore, upsample

__all__ = [
    'DecoderState',
    'LocalizationAugment',
    'MaskRefinement',
    'PromptRetargeting',
    'ReceptiveFieldBlock',
    'RefinedLogits',
    'SAM2RefinerCore',
    'captured_decoder',
    'masks_of_embedding',
    'upsample',
]
