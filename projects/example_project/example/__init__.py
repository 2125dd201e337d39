"""Minimal examples of a refiner, a mask format and a promptable segmentation model."""

from .colour_backend import ColourBackend
from .npy_masks import NpyMasks
from .otsu_refiner import OtsuRefiner

__all__ = ['ColourBackend', 'NpyMasks', 'OtsuRefiner']
