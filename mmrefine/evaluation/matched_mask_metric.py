"""Metric of coarse and refined predictions, matched to the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from pycocotools import mask as coco_mask

from mmrefine.evaluation.refine_metric import RefineMetric
from mmrefine.registry import METRICS


def match_masks(
    masks: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    gt_masks: np.ndarray,
    gt_labels: np.ndarray,
    min_iou: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy matching: in the order of scores, each prediction is assigned the nearest free object of its class.

    Legend: N predictions, M objects, H and W in pixels. The nearest is the one with the highest mask IoU; this is how
    COCO's AP matches at one threshold.

    Args:
        masks, gt_masks: (N, H, W) and (M, H, W) bool.
        labels, gt_labels: (N,) and (M,) class indices.
        scores: (N,) confidences.
        min_iou: minimum IoU of a pair.

    Returns:
        Indices of the matched predictions and of their objects, both (K,) int64.
    """
    pairs: list[tuple[int, int]] = []
    if len(masks) and len(gt_masks):
        ious = np.asarray(coco_mask.iou(_rles(masks), _rles(gt_masks), [0] * len(gt_masks)))
        ious[labels[:, None] != gt_labels[None]] = -1.0
        for index in np.argsort(-scores, kind='stable'):
            best = int(ious[index].argmax())
            if ious[index, best] >= min_iou:
                pairs.append((int(index), best))
                ious[:, best] = -1.0
    matched = np.array(pairs, np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


@METRICS.register_module()
class MatchedMaskMetric(RefineMetric):
    """IoU, boundary IoU and mBA of predictions before and after refinement, their gain, and the harm rate.

    For models of MMDetection and MMSegmentation under ``RefineHook``, by way of ``MatchedMaskEvaluator``: reads the
    refined prediction from the data sample, the coarse one from its ``coarse``, and the ground truth from
    ``gt_instances`` with masks (``LoadAnnotations`` with ``with_mask=True`` after ``Resize``) or from ``gt_sem_seg``.
    Instances are matched by :func:`match_masks`, coarse against the ground truth, so that what refinement spoils
    counts as harm; objects that were not found do not count. Of a label map every class of the ground truth is one
    mask, without the pixels to be ignored.

    Args:
        min_iou: minimum IoU of a coarse instance with its object.
        ignore_index: void label of ``gt_sem_seg``.
        classes: class indices of label maps that count, such as ``[1]`` to leave out a background; None: all.
        kwargs: as for :class:`RefineMetric`; ``group_by='labels'`` groups by class.
    """

    def __init__(
        self, min_iou: float = 0.5, ignore_index: int = 255, classes: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.min_iou, self.ignore_index, self.classes = min_iou, ignore_index, classes

    def process(self, data_batch: object, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Match and evaluate a batch."""
        samples = [s.to_dict() if isinstance(s, BaseDataElement) else s for s in data_samples]
        super().process(data_batch, [self._pairs(sample) for sample in samples])

    def _pairs(self, sample: Mapping[str, Any]) -> dict:
        """What :class:`RefineMetric` reads, of one image."""
        coarse = sample.get('coarse')
        if coarse is None:
            raise ValueError(
                'MatchedMaskMetric compares coarse with refined predictions, but a data sample has no "coarse"; use it '
                f'with RefineHook and MatchedMaskEvaluator. The sample has {sorted(sample)}.'
            )
        common = {key: sample[key] for key in ('img_path', 'img_id') if key in sample}
        if 'pred_sem_seg' in sample:
            return {**common, **self._label_map_pairs(coarse, sample)}
        return {**common, **self._instance_pairs(coarse, sample)}

    def _instance_pairs(self, coarse: Mapping[str, Any], sample: Mapping[str, Any]) -> dict:
        gt = sample.get('gt_instances')
        if gt is None or 'masks' not in gt:
            raise ValueError(
                'MatchedMaskMetric needs gt_instances.masks; put LoadAnnotations(with_bbox=True, with_mask=True) after '
                'Resize into the pipeline.'
            )
        before, after = coarse['pred_instances'], sample['pred_instances']
        coarse_masks, refined_masks, gt_masks = (_masks(instances) for instances in (before, after, gt))
        found, objects = match_masks(
            coarse_masks,
            _array(before['labels']),
            _array(before['scores']),
            gt_masks,
            _array(gt['labels']),
            self.min_iou,
        )
        return {
            'coarse_masks': coarse_masks[found],
            'refined_masks': refined_masks[found],
            'gt_masks': gt_masks[objects],
            'labels': _array(gt['labels'])[objects],
        }

    def _label_map_pairs(self, coarse: Mapping[str, Any], sample: Mapping[str, Any]) -> dict:
        if 'gt_sem_seg' not in sample:
            raise ValueError('MatchedMaskMetric needs gt_sem_seg; put LoadAnnotations after Resize into the pipeline.')
        gt = _label_map(sample['gt_sem_seg'])
        valid = gt != self.ignore_index
        labels = np.unique(gt[valid])
        if self.classes is not None:
            labels = labels[np.isin(labels, self.classes)]
        columns = labels[:, None, None]
        return {
            'coarse_masks': (_label_map(coarse['pred_sem_seg']) == columns) & valid,
            'refined_masks': (_label_map(sample['pred_sem_seg']) == columns) & valid,
            'gt_masks': (gt == columns) & valid,
            'labels': labels,
        }


def _rles(masks: np.ndarray) -> list[dict]:
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))


def _masks(instances: Mapping[str, Any]) -> np.ndarray:
    masks = instances['masks']
    return (masks.to_ndarray() if hasattr(masks, 'to_ndarray') else _array(masks)).astype(bool)


def _label_map(pixels: Mapping[str, Any]) -> np.ndarray:
    return _array(pixels['data']).squeeze(0)


def _array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
