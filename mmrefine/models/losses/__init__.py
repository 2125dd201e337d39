"""Losses on mask logits."""

from mmrefine.models.losses.mask_losses import MaskBCELoss, TextureL1Loss, sobel_magnitude

__all__ = ['MaskBCELoss', 'TextureL1Loss', 'sobel_magnitude']
