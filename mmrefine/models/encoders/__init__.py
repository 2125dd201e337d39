"""Pretrained image encoders, which run once per crop."""

from mmrefine.models.encoders.timm_encoder import TimmEncoder

__all__ = ['TimmEncoder']
