"""A refiner, a format of masks and a promptable segmentation model, each as small as it can be."""

from .colour_backend import ColourBackend
from .npy_masks import NpyMasks
from .otsu_refiner import OtsuRefiner

__all__ = ['ColourBackend', 'NpyMasks', 'OtsuRefiner']
