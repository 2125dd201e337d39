"""Data transforms: loading, simulation of coarse masks, refinement, cropping, augmentation, packing."""

from mmrefine.datasets.transforms.augment import PasteOnBackground, PhotometricJitter, RandomMaskFlip
from mmrefine.datasets.transforms.coarse import SimulateCoarseMasks
from mmrefine.datasets.transforms.interactive_prompts import (
    LargeScaleJitter,
    PackInteractiveInputs,
    SamplePrompts,
    SquareResize,
)
from mmrefine.datasets.transforms.load_coarse_masks import LoadCoarseMasks
from mmrefine.datasets.transforms.loading import LoadRGBImage, LoadTrueMasks
from mmrefine.datasets.transforms.object_crops import (
    ChooseObject,
    CoarseMaskCrop,
    MixedPatchCrop,
    ObjectWindow,
    RandomObjectCrop,
)
from mmrefine.datasets.transforms.one_of import OneOf
from mmrefine.datasets.transforms.packing import PackRefineInputs
from mmrefine.datasets.transforms.perturb_boundary import PerturbBoundary
from mmrefine.datasets.transforms.refine_masks import RefineMasks

__all__ = [
    'ChooseObject',
    'CoarseMaskCrop',
    'LargeScaleJitter',
    'LoadCoarseMasks',
    'LoadRGBImage',
    'LoadTrueMasks',
    'MixedPatchCrop',
    'ObjectWindow',
    'OneOf',
    'PackInteractiveInputs',
    'PackRefineInputs',
    'PasteOnBackground',
    'PerturbBoundary',
    'PhotometricJitter',
    'RandomMaskFlip',
    'RandomObjectCrop',
    'RefineMasks',
    'SamplePrompts',
    'SimulateCoarseMasks',
    'SquareResize',
]
