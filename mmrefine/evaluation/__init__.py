"""Evaluation: mask metrics as functions, summaries of coarse against refined masks, and mmengine metrics."""

from mmrefine.evaluation.bootstrap import paired_bootstrap
from mmrefine.evaluation.dichotomous_metric import DichotomousMetric
from mmrefine.evaluation.functional import (
    MASK_METRICS,
    boundary_iou,
    boundary_overlap,
    evaluate_masks,
    label_boundary_accuracy,
    mask_iou,
    mask_overlap,
    mean_boundary_accuracy,
)
from mmrefine.evaluation.interactive import mean_of_sets, simulated_prompt
from mmrefine.evaluation.label_maps import LabelMapScore
from mmrefine.evaluation.mask_ap import mask_ap
from mmrefine.evaluation.mask_ap_metric import MaskAPMetric
from mmrefine.evaluation.matched_mask_evaluator import MatchedMaskEvaluator
from mmrefine.evaluation.matched_mask_metric import MatchedMaskMetric, match_masks
from mmrefine.evaluation.refine_evaluator import RefineEvaluator
from mmrefine.evaluation.refine_metric import RefineMetric
from mmrefine.evaluation.seeds import last_metric, paired_interval
from mmrefine.evaluation.summary import (
    format_scores_table,
    gain_intervals,
    summarize_by_group,
    summarize_refinement,
)
from mmrefine.evaluation.video import (
    ObjectScores,
    contour_accuracy,
    region_similarity,
    summarize_davis,
    summarize_lvos,
    track_statistics,
)

__all__ = [
    'MASK_METRICS',
    'DichotomousMetric',
    'LabelMapScore',
    'MaskAPMetric',
    'MatchedMaskEvaluator',
    'MatchedMaskMetric',
    'ObjectScores',
    'RefineEvaluator',
    'RefineMetric',
    'boundary_iou',
    'boundary_overlap',
    'contour_accuracy',
    'format_scores_table',
    'gain_intervals',
    'label_boundary_accuracy',
    'last_metric',
    'mask_ap',
    'mask_iou',
    'mask_overlap',
    'match_masks',
    'mean_boundary_accuracy',
    'mean_of_sets',
    'evaluate_masks',
    'paired_bootstrap',
    'paired_interval',
    'region_similarity',
    'simulated_prompt',
    'summarize_by_group',
    'summarize_davis',
    'summarize_lvos',
    'summarize_refinement',
    'track_statistics',
]
