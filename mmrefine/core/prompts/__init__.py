"""Noise-tolerant prompts for SAM from coarse masks (SAMRefiner, ICLR 2025, section 3).

Legend: N masks, H and W the size of the image in pixels, h and w that of a grid of the model in cells; boxes are
(x1, y1, x2, y2) of inclusive pixel indices, as in segment-anything; points are (x, y).

``released_behaviour=True`` reproduces the authors' code. By default the functions follow the paper; every function
states the difference.
"""

from mmrefine.core.prompts.boxes import context_similarity, elastic_boxes
from mmrefine.core.prompts.distance import (
    DistanceField,
    chamfer_distance,
    check_distance,
    distance_fields,
    euclidean_distance,
    tight_box,
)
from mmrefine.core.prompts.frame import InputFrame
from mmrefine.core.prompts.masks import gaussian_weights, mask_prompts
from mmrefine.core.prompts.points import prompt_points

__all__ = [
    'DistanceField',
    'InputFrame',
    'chamfer_distance',
    'check_distance',
    'context_similarity',
    'distance_fields',
    'elastic_boxes',
    'euclidean_distance',
    'gaussian_weights',
    'mask_prompts',
    'prompt_points',
    'tight_box',
]
