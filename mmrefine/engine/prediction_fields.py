"""Conversion of the fields of a prediction to masks, and of refined masks back to fields.

Legend: N masks of one field, K of them chosen, H and W the size of the image in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmrefine.core.crops import fill_boxes
from mmrefine.core.panoptic import INSTANCE_OFFSET, paint_panoptic_map, split_panoptic_map
from mmrefine.core.regions import VOID, paint_regions, split_label_map
from mmrefine.structures import (
    boxes_from_det,
    det_with_masks,
    det_with_panoptic_map,
    label_map_from_seg,
    masks_from_det,
    panoptic_map_from_det,
    seg_with_label_map,
)

_BACKGROUND = 'background'
_INSTANCES = ('pred_instances', 'pred_track_instances')


@dataclass(frozen=True)
class MaskField:
    """One field of a prediction as masks.

    Attributes:
        name: name of the field in the data sample.
        masks: (N, H, W) bool.
        labels: (N,) int, class indices.
        scores: (N,) float; None for regions of label maps.
        write: returns a copy of a data sample with the refined field, given the sample, the chosen masks (N,) bool,
            their refined masks (K, H, W) bool and the refiner's scores (K,).
        from_boxes: whether the masks are filled boxes, because the model predicted no masks.
    """

    name: str
    masks: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    write: Callable[[BaseDataElement, np.ndarray, np.ndarray, np.ndarray], BaseDataElement]
    from_boxes: bool = False


def find_fields(
    sample: BaseDataElement, classes: tuple[str, ...] | None, rescore: bool, skipped: Collection[str] = ()
) -> list[MaskField]:
    """Find all fields of a data sample that are masks or can be converted to masks.

    Args:
        sample: ``DetDataSample`` or ``SegDataSample`` with predictions.
        classes: class names of the dataset in order; None if unknown.
        rescore: whether scores of instances are multiplied by the refiner's quality estimates.
        skipped: names of fields that are skipped if there is a semantic or panoptic map.

    Raises:
        ValueError: there is nothing to refine, or the number of classes of a panoptic map is unknown.
    """
    fields = []
    if 'pred_panoptic_seg' in sample:
        fields.append(_panoptic_field(sample, classes))
    if 'pred_sem_seg' in sample:
        fields.append(_semantic_field(sample, classes))
    for name in _INSTANCES:
        if fields and name in skipped:
            continue
        if 'masks' in sample.get(name, ()):
            fields.append(_instance_field(name, *masks_from_det(sample, name), rescore))
    if 'pred_instances' in sample and not fields:
        boxes, labels, scores = boxes_from_det(sample)
        masks = fill_boxes(boxes, sample.ori_shape[:2])
        fields.append(_instance_field('pred_instances', masks, labels, scores, rescore, True))
    if not fields:
        raise ValueError(
            'the prediction has none of pred_instances, pred_sem_seg and pred_panoptic_seg, got fields '
            f'{sorted(sample.keys())}; expected the prediction of a detection or segmentation model.'
        )
    return fields


def _instance_field(
    name: str, masks: np.ndarray, labels: np.ndarray, scores: np.ndarray, rescore: bool, from_boxes: bool = False
) -> MaskField:
    def write(sample: BaseDataElement, chosen: np.ndarray, refined: np.ndarray, quality: np.ndarray) -> BaseDataElement:
        written = masks.copy()
        written[chosen] = refined
        if not rescore:
            return det_with_masks(sample, written, field=name)
        factors = np.ones_like(scores)
        factors[chosen] = quality
        rescored = det_with_masks(sample, written, scores * factors, name)
        instances = rescored.get(name)
        if 'mask_scores' in instances:  # by which metrics rank the masks of Mask Scoring R-CNN
            instances.mask_scores = instances.mask_scores * torch.from_numpy(factors).to(instances.mask_scores)
        return rescored

    return MaskField(name, masks, labels, scores, write, from_boxes)


def _semantic_field(sample: BaseDataElement, classes: tuple[str, ...] | None) -> MaskField:
    label_map = label_map_from_seg(sample)
    names = [name.strip(' _').lower() for name in classes or ()]
    background = names.index(_BACKGROUND) if _BACKGROUND in names else None
    void = VOID if classes is None or len(classes) <= VOID else None
    masks, labels = split_label_map(label_map, background=background, void=void)

    def write(sample: BaseDataElement, chosen: np.ndarray, refined: np.ndarray, quality: np.ndarray) -> BaseDataElement:
        painted = paint_regions(
            label_map, masks[chosen], refined, labels[chosen], quality, background=background, void=void
        )
        return seg_with_label_map(sample, painted)

    return MaskField('pred_sem_seg', masks, labels, None, write)


def _panoptic_field(sample: BaseDataElement, classes: tuple[str, ...] | None) -> MaskField:
    if classes is None:
        raise ValueError(
            'refining a panoptic map needs the number of classes, but the dataset has no class names; set its '
            'metainfo=dict(classes=...).'
        )
    panoptic_map = panoptic_map_from_det(sample)
    void = len(classes), sample.pred_panoptic_seg.metainfo.get('ignore_index')
    masks, values = split_panoptic_map(panoptic_map, *void)

    def write(sample: BaseDataElement, chosen: np.ndarray, refined: np.ndarray, quality: np.ndarray) -> BaseDataElement:
        painted = paint_panoptic_map(panoptic_map, masks[chosen], refined, values[chosen], quality, *void)
        return det_with_panoptic_map(sample, painted)

    return MaskField('pred_panoptic_seg', masks, values % INSTANCE_OFFSET, None, write)
