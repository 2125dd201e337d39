"""Data sample of masks, for datasets, models and metrics."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class RefineDataSample(BaseDataElement):
    """Masks of one image. Legend: N masks, H and W in pixels.

    Metainfo, as far as known: ``img_path``, ``img_id``, ``ori_shape`` (H, W), ``source`` (name of the dataset) and
    ``kind`` ('real' or 'simulated' coarse masks, say).

    Data fields, each absent until somebody sets it:
        coarse_masks: (N, H, W) bool array or tensor (training: (1, S, S) uint8 tensor), what is to be refined.
        gt_masks: the same shape, the ground truth.
        refined_masks: the same shape, the refiner's answer after its gate.
        labels: (N,) int64 category indices.
        scores: (N,) float32 in [0, 1], the refiner's estimates of the quality of ``refined_masks``.
        accepted: (N,) bool, the gate's decisions.
        gate_features: what the gate saw, (N,) float64 by name.
    """
