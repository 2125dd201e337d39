"""One file per refiner."""

from mmrefine.models.refiners.base_refiner import BaseRefiner, RefineInput


__all__ = ['BaseRefiner', 'RefineInput']
