"""Between masks and the data samples of MMDetection and MMSegmentation.

Nothing of either package is imported: a ``DetDataSample`` is known by its ``pred_instances``, a ``SegDataSample`` by
its ``pred_sem_seg``. Samples that are given are never changed. Legend: N masks, H and W in pixels.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData


def masks_from_det(sample: BaseDataElement) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted masks of a ``DetDataSample``: masks (N, H, W) bool, labels (N,) int64, scores (N,) float32.

    Masks may be tensors, arrays or MMDetection's ``BitmapMasks`` and ``PolygonMasks``.

    Raises:
        ValueError: there are no predicted masks.
    """
    instances = sample.get('pred_instances')
    if instances is None or 'masks' not in instances:
        raise ValueError(
            'the data sample has no pred_instances.masks; expected the prediction of an instance segmentation model '
            f'such as Mask R-CNN, got fields {sorted(sample.keys() if instances is None else instances.keys())}.'
        )
    masks = instances.masks
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    count = len(instances)
    labels = _array(instances.get('labels', np.zeros(count)), np.int64)
    scores = _array(instances.get('scores', np.ones(count)), np.float32)
    return _array(masks, bool), labels, scores


def det_with_masks(sample: BaseDataElement, masks: np.ndarray) -> BaseDataElement:
    """A copy of a ``DetDataSample`` with other predicted masks, (N, H, W) bool in the same order.

    They become a bool tensor on the device of the scores; boxes, labels and scores stay.

    Raises:
        ValueError: another number of masks than of predictions.
    """
    instances = sample.pred_instances
    if len(masks) != len(instances):
        raise ValueError(f'expected one mask per prediction, {len(instances)}, got {len(masks)}.')
    scores = instances.get('scores')
    device = scores.device if isinstance(scores, torch.Tensor) else 'cpu'
    replaced = InstanceData(metainfo=instances.metainfo, **{k: v for k, v in instances.items() if k != 'masks'})
    replaced.masks = torch.from_numpy(np.ascontiguousarray(masks, dtype=bool)).to(device)
    result = copy.copy(sample)
    result.pred_instances = replaced
    return result


def label_map_from_seg(sample: BaseDataElement) -> np.ndarray:
    """The predicted label map of a ``SegDataSample``, (H, W) int64.

    Raises:
        ValueError: there is no predicted label map.
    """
    if 'pred_sem_seg' not in sample:
        raise ValueError(
            'the data sample has no pred_sem_seg; expected the prediction of a semantic segmentation model, '
            f'got fields {sorted(sample.keys())}.'
        )
    return _array(sample.pred_sem_seg.data, np.int64).squeeze(0)


def seg_with_label_map(sample: BaseDataElement, label_map: np.ndarray) -> BaseDataElement:
    """A copy of a ``SegDataSample`` with another predicted label map, (H, W) integers; logits stay as they are.

    Raises:
        ValueError: another size than the prediction's.
    """
    data = sample.pred_sem_seg.data
    if tuple(label_map.shape) != tuple(data.shape[-2:]):
        raise ValueError(f'expected a label map of {tuple(data.shape[-2:])} (H, W), got {tuple(label_map.shape)}.')
    result = copy.copy(sample)
    result.pred_sem_seg = PixelData(data=torch.as_tensor(np.ascontiguousarray(label_map)[None]).to(data))
    return result


def _array(values: torch.Tensor | np.ndarray, dtype: type) -> np.ndarray:
    values = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    return values.astype(dtype)
