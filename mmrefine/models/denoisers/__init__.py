"""Networks that estimate the true mask from a partly coarse one."""

from mmrefine.models.denoisers.denoise_unet import DenoiseUNet

__all__ = ['DenoiseUNet']
