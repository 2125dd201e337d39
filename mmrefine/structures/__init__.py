"""What travels between the rooms: results, data samples, and adapters to MMDetection and MMSegmentation."""

from mmrefine.structures.refine_data_sample import RefineDataSample
from mmrefine.structures.refine_result import RefineResult

__all__ = ['RefineDataSample', 'RefineResult']
