"""Denoising networks, which predict the ground-truth mask from a partly coarse mask."""

from mmrefine.models.denoisers.denoise_unet import DenoiseUNet
from mmrefine.models.denoisers.pyramid_denoiser import PyramidDenoiser

__all__ = ['DenoiseUNet', 'PyramidDenoiser']
