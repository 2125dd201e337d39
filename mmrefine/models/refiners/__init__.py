"""Refiners, one module each."""

from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal, RefineInput
from mmrefine.models.refiners.cascade_psp import CascadePSP
from mmrefine.models.refiners.crop_refiner import CropRefiner
from mmrefine.models.refiners.dense_crf import DenseCRF
from mmrefine.models.refiners.grab_cut import GrabCut
from mmrefine.models.refiners.guided_filter import GuidedFilter
from mmrefine.models.refiners.sam_refiner import SAMRefiner
from mmrefine.models.refiners.sam_refiner_pp import SAMRefinerPP
from mmrefine.models.refiners.segrefiner import SegRefiner
from mmrefine.models.refiners.segrefiner_hr import SegRefinerHR

__all__ = [
    'BaseRefiner',
    'CascadePSP',
    'CropRefiner',
    'DenseCRF',
    'GrabCut',
    'GuidedFilter',
    'Proposal',
    'RefineInput',
    'SAMRefiner',
    'SAMRefinerPP',
    'SegRefiner',
    'SegRefinerHR',
]
