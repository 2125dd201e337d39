"""Data structures: results, data samples, and adapters to MMDetection and MMSegmentation."""

from mmrefine.structures.adapters import (
    boxes_from_det,
    det_with_masks,
    det_with_panoptic_map,
    label_map_from_seg,
    masks_from_det,
    panoptic_map_from_det,
    seg_with_label_map,
    with_field,
)
from mmrefine.structures.object_prompt import ObjectPrompt
from mmrefine.structures.refine_data_sample import RefineDataSample
from mmrefine.structures.refine_result import RefineResult

__all__ = [
    'ObjectPrompt',
    'RefineDataSample',
    'RefineResult',
    'boxes_from_det',
    'det_with_masks',
    'det_with_panoptic_map',
    'label_map_from_seg',
    'masks_from_det',
    'panoptic_map_from_det',
    'seg_with_label_map',
    'with_field',
]
