"""Losses on mask logits and on predicted IoU."""

from mmrefine.models.losses.mask_losses import MaskBCELoss, TextureL1Loss, sobel_magnitude
from mmrefine.models.losses.point_sampled_loss import PointSampledMaskLoss
from mmrefine.models.losses.ranking_loss import IoURankingLoss

__all__ = ['IoURankingLoss', 'MaskBCELoss', 'PointSampledMaskLoss', 'TextureL1Loss', 'sobel_magnitude']
