"""Conversion between masks and the data samples of MMDetection and MMSegmentation.

Neither package is imported: a ``DetDataSample`` is recognized by ``pred_instances`` or ``pred_panoptic_seg``, a
``SegDataSample`` by ``pred_sem_seg``. Samples are never changed in place. Legend: N masks, H and W in pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmrefine.core.checks import binarize
from mmrefine.core.rle import decode_segmentation


def masks_from_det(sample: BaseDataElement, field: str = 'pred_instances') -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted masks of a ``DetDataSample``: masks (N, H, W) bool, labels (N,) int64, scores (N,) float32.

    Masks may be tensors, arrays, MMDetection's ``BitmapMasks`` and ``PolygonMasks``, or a list of COCO's RLE as in
    MMDetection's dumps; :func:`~mmrefine.core.checks.binarize` lists the accepted dtypes.

    Args:
        sample: the data sample.
        field: ``'pred_instances'``, or ``'pred_track_instances'`` for trackers.

    Raises:
        ValueError: there are no predicted masks, they are logits or labels, or not (N, H, W).

    Example:
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, InstanceData
        >>> sample = BaseDataElement(pred_instances=InstanceData(masks=torch.ones(2, 4, 6) > 0))
        >>> masks, labels, scores = masks_from_det(sample)
        >>> masks.shape, labels.tolist(), scores.tolist()
        ((2, 4, 6), [0, 0], [1.0, 1.0])
    """
    instances = _instances(sample, field, 'masks', 'an instance segmentation model such as Mask R-CNN')
    try:
        masks = _stack(instances.masks, tuple(sample.get('ori_shape', (0, 0)))[:2])
        if masks.ndim != 3:
            raise ValueError(f'expected shape (N, H, W) with one mask per prediction, got {masks.shape}.')
        return binarize(masks), *_labels_and_scores(instances)
    except ValueError as error:
        raise ValueError(f'{field}.masks cannot be used: {error}') from error


def boxes_from_det(sample: BaseDataElement) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted boxes of a ``DetDataSample``: xyxy (N, 4) float32 in pixels, labels (N,) int64, scores (N,) float32.

    Raises:
        ValueError: there are no predicted boxes, or they are rotated.

    Example:
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, InstanceData
        >>> sample = BaseDataElement(pred_instances=InstanceData(bboxes=torch.tensor([[0.0, 1.0, 5.0, 4.0]])))
        >>> boxes_from_det(sample)[0].tolist()
        [[0.0, 1.0, 5.0, 4.0]]
    """
    instances = _instances(sample, 'pred_instances', 'bboxes', 'a detector')
    boxes = _array(getattr(instances.bboxes, 'tensor', instances.bboxes), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'expected upright boxes (N, 4) as xyxy in pred_instances.bboxes, got shape {boxes.shape}.')
    return boxes, *_labels_and_scores(instances)


def det_with_masks(
    sample: BaseDataElement, masks: np.ndarray, scores: np.ndarray | None = None, field: str = 'pred_instances'
) -> BaseDataElement:
    """A copy of a ``DetDataSample`` with other predicted masks.

    Boxes and labels stay. bfloat16 values, as under autocast on a CPU, become float32, because numpy, and therefore
    metrics, do not support bfloat16.

    Args:
        sample: the data sample.
        masks: (N, H, W) bool, in the order of the predictions; stored as a tensor on the device of the scores.
        scores: (N,) float; None: the scores stay.
        field: see :func:`masks_from_det`.

    Raises:
        ValueError: the number of masks differs from that of predictions.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, InstanceData
        >>> sample = BaseDataElement(pred_instances=InstanceData(masks=torch.ones(1, 4, 6) > 0))
        >>> changed = det_with_masks(sample, np.zeros((1, 4, 6), bool))
        >>> int(changed.pred_instances.masks.sum()), int(sample.pred_instances.masks.sum())
        (0, 24)
    """
    instances = sample.get(field)
    if len(masks) != len(instances):
        raise ValueError(f'expected one mask per prediction, {len(instances)}, got {len(masks)}.')
    old_scores = instances.get('scores')
    device = old_scores.device if isinstance(old_scores, torch.Tensor) else 'cpu'
    kept = {name: _without_bfloat16(value) for name, value in instances.items() if name != 'masks'}
    replaced = InstanceData(metainfo=instances.metainfo, **kept)
    replaced.masks = torch.from_numpy(np.ascontiguousarray(masks, dtype=bool)).to(device)
    if scores is not None:
        replaced.scores = torch.as_tensor(scores).to(kept.get('scores', torch.empty(0)))
    return with_field(sample, field, replaced)


def label_map_from_seg(sample: BaseDataElement, field: str = 'pred_sem_seg') -> np.ndarray:
    """A label map of a ``SegDataSample``, by default the predicted one, (H, W) int64.

    Raises:
        ValueError: there is no such label map.

    Example:
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, PixelData
        >>> sample = BaseDataElement(pred_sem_seg=PixelData(data=torch.tensor([[[0, 1], [1, 1]]])))
        >>> label_map_from_seg(sample).tolist()
        [[0, 1], [1, 1]]
    """
    return _map(sample, field, 'a semantic segmentation model')


def seg_with_label_map(sample: BaseDataElement, label_map: np.ndarray) -> BaseDataElement:
    """A copy of a ``SegDataSample`` with another predicted label map, (H, W) integer; logits are not changed.

    Raises:
        ValueError: the size differs from the prediction's.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, PixelData
        >>> sample = BaseDataElement(pred_sem_seg=PixelData(data=torch.tensor([[[0, 1], [1, 1]]])))
        >>> seg_with_label_map(sample, np.zeros((2, 2), int)).pred_sem_seg.data.tolist()
        [[[0, 0], [0, 0]]]
    """
    return _with_map(sample, 'pred_sem_seg', label_map)


def panoptic_map_from_det(sample: BaseDataElement) -> np.ndarray:
    """The predicted panoptic map of a ``DetDataSample``, (H, W) int64; see :mod:`mmrefine.core.panoptic`.

    Raises:
        ValueError: there is no predicted panoptic map.

    Example:
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, PixelData
        >>> sample = BaseDataElement(pred_panoptic_seg=PixelData(sem_seg=torch.tensor([[[0, 1], [1, 1]]])))
        >>> panoptic_map_from_det(sample).tolist()
        [[0, 1], [1, 1]]
    """
    return _map(sample, 'pred_panoptic_seg', 'a panoptic segmentation model')


def det_with_panoptic_map(sample: BaseDataElement, panoptic_map: np.ndarray) -> BaseDataElement:
    """A copy of a ``DetDataSample`` with another predicted panoptic map, (H, W) integer.

    Raises:
        ValueError: the size differs from the prediction's.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from mmengine.structures import BaseDataElement, PixelData
        >>> sample = BaseDataElement(pred_panoptic_seg=PixelData(sem_seg=torch.tensor([[[0, 1], [1, 1]]])))
        >>> det_with_panoptic_map(sample, np.zeros((2, 2), int)).pred_panoptic_seg.sem_seg.tolist()
        [[[0, 0], [0, 0]]]
    """
    return _with_map(sample, 'pred_panoptic_seg', panoptic_map)


def with_field(sample: BaseDataElement, name: str, value: Any) -> BaseDataElement:
    """A copy of a data sample with one field set; the other fields are shared.

    Example:
        >>> from mmengine.structures import BaseDataElement
        >>> sample = BaseDataElement(task='instance')
        >>> with_field(sample, 'task', 'semantic').task, sample.task
        ('semantic', 'instance')
    """
    result = sample.new()
    setattr(result, name, value)
    return result


def _instances(sample: BaseDataElement, field: str, wanted: str, source: str) -> InstanceData:
    instances = sample.get(field)
    if instances is None or wanted not in instances:
        raise ValueError(
            f'the data sample has no {field}.{wanted}; expected the prediction of {source}, '
            f'got fields {sorted(sample.keys() if instances is None else instances.keys())}.'
        )
    return instances


def _stack(masks: Any, size_hw: tuple[int, int]) -> np.ndarray:
    """Stack masks to one array; for an empty list it has the size of the image."""
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    if not isinstance(masks, list):
        return _array(masks)
    planes = [
        decode_segmentation(mask, mask.get('size', size_hw)) if isinstance(mask, dict) else _array(mask)
        for mask in masks
    ]
    shapes = sorted({plane.shape for plane in planes})
    if len(shapes) > 1:
        raise ValueError(f'expected masks of the same size, the size of the image, got {shapes}.')
    return np.stack(planes) if planes else np.zeros((0, *size_hw), bool)


def _labels_and_scores(instances: InstanceData) -> tuple[np.ndarray, np.ndarray]:
    count = len(instances)
    return (
        _array(instances.get('labels', np.zeros(count)), np.int64),
        _array(instances.get('scores', np.ones(count)), np.float32),
    )


def _map(sample: BaseDataElement, field: str, source: str) -> np.ndarray:
    if field not in sample:
        raise ValueError(
            f'the data sample has no {field}; expected the prediction of {source}, got fields {sorted(sample.keys())}.'
        )
    pixels = sample.get(field)
    return _array(pixels.get(_map_key(pixels)), np.int64).squeeze(0)


def _with_map(sample: BaseDataElement, field: str, label_map: np.ndarray) -> BaseDataElement:
    pixels = sample.get(field)
    key = _map_key(pixels)
    data = pixels.get(key)
    if tuple(label_map.shape) != tuple(data.shape[-2:]):
        raise ValueError(f'expected a label map of {tuple(data.shape[-2:])} (H, W), got {tuple(label_map.shape)}.')
    replaced = PixelData(metainfo=pixels.metainfo, **dict(pixels.items()))
    replaced.set_data({key: torch.as_tensor(np.ascontiguousarray(label_map)[None]).to(data)})
    return with_field(sample, field, replaced)


def _map_key(pixels: PixelData) -> str:
    """Key of the map: 'data' in MMSegmentation, 'sem_seg' in MMDetection."""
    return 'data' if 'data' in pixels else 'sem_seg'


def _without_bfloat16(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16 else value


def _array(values: torch.Tensor | np.ndarray, dtype: type | None = None) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = _without_bfloat16(values.detach()).cpu().numpy()
    values = np.asarray(values)
    return values if dtype is None else values.astype(dtype)
