"""One file per refiner."""

from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal, RefineInput
from mmrefine.models.refiners.sam_refiner import SAMRefiner
from mmrefine.models.refiners.sam_refiner_pp import SAMRefinerPP
from mmrefine.models.refiners.segrefiner import SegRefiner
from mmrefine.models.refiners.segrefiner_hr import SegRefinerHR

__all__ = [
    'BaseRefiner',
    'Proposal',
    'RefineInput',
    'SAMRefiner',
    'SAMRefinerPP',
    'SegRefiner',
    'SegRefinerHR',
]
