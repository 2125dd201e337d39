"""Data sample with coarse, ground-truth and refined masks, for datasets, models and metrics."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class RefineDataSample(BaseDataElement):
    """Masks of one image. Legend: N masks, H and W in pixels.

    Metainfo, all optional: ``img_path``, ``img_id``, ``ori_shape`` (H, W), ``source`` (name of the dataset) and
    ``kind`` (kind of coarse masks, such as 'real' or 'simulated').

    Data fields, all optional:
        coarse_masks: (N, H, W) bool array or tensor; in training (1, S, S) uint8 tensor.
        gt_masks: the same shape, the ground truth.
        refined_masks: the same shape, the refined masks after the gate.
        labels: (N,) int64, class indices.
        scores: (N,) float32 in [0, 1], the refiner's estimates of the IoU of ``refined_masks``.
        accepted: (N,) bool, the gate's decisions.
        gate_features: the gate's features, (N,) float64 by name.
    """
