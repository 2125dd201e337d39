"""Metric of coarse and refined predictions that are matched with the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from pycocotools import mask as coco_mask

from mmrefine.core.panoptic import INSTANCE_OFFSET, void_pixels
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
    """Greedy matching: by decreasing score, each prediction is matched with the free object of its class with max IoU.

    COCO's AP matches in the same way at one threshold. Legend: N predictions, M objects, K matches, H and W in pixels.

    Args:
        masks, gt_masks: (N, H, W) and (M, H, W) bool.
        labels, gt_labels: (N,) and (M,) class indices.
        scores: (N,) confidence.
        min_iou: minimum IoU of a match.

    Returns:
        indices of the matched predictions and of their objects, both (K,) int64.

    Example:
        >>> import numpy as np
        >>> gt_masks = np.eye(3, dtype=bool)[:, None]  # three objects of one pixel
        >>> labels, scores = np.zeros(2, int), np.array([0.5, 0.9])
        >>> predicted, objects = match_masks(gt_masks[:2], labels, scores, gt_masks, np.zeros(3, int))
        >>> predicted.tolist(), objects.tolist()  # in the order of scores
        ([1, 0], [1, 0])
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
    """IoU, boundary IoU and mBA of predictions before and after refinement, gain and harm rate.

    For models of MMDetection and MMSegmentation with ``RefineHook``, used by ``MatchedMaskEvaluator``. Reads the
    refined prediction from the data sample, the coarse prediction from its ``coarse``, and the ground truth from
    ``gt_instances`` with masks (``LoadAnnotations`` with ``with_mask=True`` after ``Resize``), from ``gt_sem_seg``, or
    from both for panoptic maps (``LoadPanopticAnnotations``). All frames of a clip are evaluated.

    Coarse instances and panoptic segments are matched with the ground truth by :func:`match_masks`, so that harm by
    refinement is counted; objects that are not matched are ignored. In label maps, every class of the ground truth is
    one mask. Void pixels of maps are ignored.

    Args:
        min_iou: minimum IoU of a coarse instance with its object.
        ignore_index: void label of ``gt_sem_seg``.
        classes: class indices of label maps that are evaluated, such as ``[1]`` to exclude background 0; None: all.
        kwargs: see :class:`RefineMetric`; ``group_by='labels'`` groups by class.
    """

    def __init__(
        self, min_iou: float = 0.5, ignore_index: int = 255, classes: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.min_iou, self.ignore_index, self.classes = min_iou, ignore_index, classes

    def process(self, data_batch: object, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Match and evaluate a batch."""
        pairs = [[self._pairs(image) for image in _images(_dict(sample))] for sample in data_samples]
        super().process(data_batch, [_joined(images) for images in pairs])

    def _pairs(self, sample: Mapping[str, Any]) -> dict:
        """Fields of one image for :class:`RefineMetric`."""
        coarse = sample['coarse']
        common = {key: sample[key] for key in ('img_path', 'img_id') if key in sample}
        if 'pred_sem_seg' in sample:
            return {**common, **self._label_map_pairs(coarse, sample)}
        if 'pred_panoptic_seg' in coarse and ('gt_sem_seg' in sample or 'pred_instances' not in coarse):
            return {**common, **self._panoptic_pairs(coarse, sample)}
        return {**common, **self._instance_pairs(coarse, sample)}

    def _instance_pairs(self, coarse: Mapping[str, Any], sample: Mapping[str, Any]) -> dict:
        gt_masks, gt_labels = _gt_instances(sample)
        field = 'pred_instances' if 'pred_instances' in coarse else 'pred_track_instances'
        before, after = coarse[field], sample[field]
        return self._matched(
            _masks(before), _masks(after), _array(before['labels']), _array(before['scores']), gt_masks, gt_labels
        )

    def _panoptic_pairs(self, coarse: Mapping[str, Any], sample: Mapping[str, Any]) -> dict:
        """Match segments, the largest first, with things and stuff of the ground truth, without void pixels."""
        if 'gt_sem_seg' not in sample or not (self.dataset_meta or {}).get('classes'):
            raise ValueError(
                'MatchedMaskMetric needs gt_instances, gt_sem_seg and the classes in the metainfo of the dataset for '
                'panoptic maps; add LoadPanopticAnnotations after Resize to the pipeline.'
            )
        classes = self.dataset_meta['classes']
        gt_masks, gt_labels = _gt_instances(sample)
        gt_map = _label_map(sample['gt_sem_seg'])
        valid = gt_map != self.ignore_index
        things = {classes.index(name) for name in self.dataset_meta.get('thing_classes', ())} | set(gt_labels.tolist())
        stuff = np.array([label for label in np.unique(gt_map[valid]) if label not in things], np.int64)
        before, after = (_label_map(side['pred_panoptic_seg']) for side in (coarse, sample))
        void = void_pixels(before, len(classes), coarse['pred_panoptic_seg'].get('ignore_index'))
        values = np.unique(before[~void])
        masks = before == values[:, None, None]
        return self._matched(
            masks & valid,
            (after == values[:, None, None]) & valid,
            values % INSTANCE_OFFSET,
            np.count_nonzero(masks, axis=(1, 2)),
            np.concatenate([gt_masks, gt_map == stuff[:, None, None]]) & valid,
            np.concatenate([gt_labels, stuff]),
        )

    def _matched(
        self,
        coarse: np.ndarray,
        refined: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        gt_masks: np.ndarray,
        gt_labels: np.ndarray,
    ) -> dict:
        found, objects = match_masks(coarse, labels, scores, gt_masks, gt_labels, self.min_iou)
        return {
            'coarse_masks': coarse[found],
            'refined_masks': refined[found],
            'gt_masks': gt_masks[objects],
            'labels': gt_labels[objects],
        }

    def _label_map_pairs(self, coarse: Mapping[str, Any], sample: Mapping[str, Any]) -> dict:
        if 'gt_sem_seg' not in sample:
            raise ValueError('MatchedMaskMetric needs gt_sem_seg; add LoadAnnotations after Resize to the pipeline.')
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


def _images(sample: Mapping[str, Any]) -> list[dict]:
    """The sample, or the frames of a clip, each with its ``coarse`` prediction.

    Raises:
        ValueError: there is none, because RefineHook was not used.
    """
    coarse = sample.get('coarse')
    if coarse is None:
        raise ValueError(
            f'MatchedMaskMetric needs "coarse" in every data sample, got {sorted(sample)}; use it with RefineHook and '
            'MatchedMaskEvaluator.'
        )
    frames = sample.get('video_data_samples')
    if frames is None:
        return [dict(sample)]
    pairs = zip(frames, coarse['video_data_samples'], strict=True)
    return [{**_dict(frame), 'coarse': _dict(before)} for frame, before in pairs]


def _joined(frames: Sequence[dict]) -> dict:
    """Join the frames of a clip to one record, with the name of the first."""
    first = frames[0]
    arrays = [key for key, value in first.items() if isinstance(value, np.ndarray)]
    return {**first, **{key: np.concatenate([frame[key] for frame in frames]) for key in arrays}}


def _gt_instances(sample: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Masks (M, H, W) bool and labels (M,) of the ground truth.

    Raises:
        ValueError: it has none.
    """
    gt = sample.get('gt_instances')
    if gt is None or 'masks' not in gt:
        raise ValueError(
            'MatchedMaskMetric needs gt_instances.masks; add LoadAnnotations(with_bbox=True, with_mask=True) after '
            'Resize to the pipeline.'
        )
    return _masks(gt), _array(gt['labels'])


def _dict(sample: dict | BaseDataElement) -> dict:
    return sample.to_dict() if isinstance(sample, BaseDataElement) else sample


def _rles(masks: np.ndarray) -> list[dict]:
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))


def _masks(instances: Mapping[str, Any]) -> np.ndarray:
    masks = instances['masks']
    return (masks.to_ndarray() if hasattr(masks, 'to_ndarray') else _array(masks)).astype(bool)


def _label_map(pixels: Mapping[str, Any]) -> np.ndarray:
    """Label map of a PixelData: 'data' in MMSegmentation, 'sem_seg' in MMDetection."""
    return _array(pixels['data' if 'data' in pixels else 'sem_seg']).squeeze(0)


def _array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
