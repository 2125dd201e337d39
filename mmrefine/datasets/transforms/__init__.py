"""Steps of data pipelines: loading, coarse-mask simulation, cropping, augmentation, packing."""

from mmrefine.datasets.transforms.augment import PasteOnBackground, PhotometricJitter, RandomMaskFlip
from mmrefine.datasets.transforms.coarse import SimulateCoarseMasks
from mmrefine.datasets.transforms.loading import LoadRGBImage, LoadTrueMasks
from mmrefine.datasets.transforms.object_crops import CoarseMaskCrop, MixedPatchCrop, ObjectWindow, RandomObjectCrop
from mmrefine.datasets.transforms.packing import PackRefineInputs

__all__ = [
    'CoarseMaskCrop',
    'LoadRGBImage',
    'LoadTrueMasks',
    'MixedPatchCrop',
    'ObjectWindow',
    'PackRefineInputs',
    'PasteOnBackground',
    'PhotometricJitter',
    'RandomMaskFlip',
    'RandomObjectCrop',
    'SimulateCoarseMasks',
]
