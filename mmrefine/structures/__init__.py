"""What travels between the rooms: results, data samples, and adapters to MMDetection and MMSegmentation."""

from mmrefine.structures.adapters import det_with_masks, label_map_from_seg, masks_from_det, seg_with_label_map
from mmrefine.structures.object_prompt import ObjectPrompt
from mmrefine.structures.refine_data_sample import RefineDataSample
from mmrefine.structures.refine_result import RefineResult

__all__ = [
    'ObjectPrompt',
    'RefineDataSample',
    'RefineResult',
    'det_with_masks',
    'label_map_from_seg',
    'masks_from_det',
    'seg_with_label_map',
]
