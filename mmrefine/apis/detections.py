"""Refinement of detections of other tools: supervision and FiftyOne."""

from __future__ import annotations

import copy
from typing import Any

import cv2
import numpy as np

from mmrefine.apis.inferencer import refine
from mmrefine.core.rle import box_of
from mmrefine.files.images import read_image


def refine_detections(image: Any, detections: Any, **options: Any) -> Any:
    """Refine ``supervision.Detections``.

    Args:
        image: see :func:`as_image`.
        detections: detections with ``mask`` (N, H, W) and ``xyxy`` (N, 4); not changed.
        options: see :func:`mmrefine.refine`.

    Returns:
        a copy with refined masks and their boxes; boxes of empty masks are kept. Without detections, an equal copy.

    Raises:
        ValueError: there are no masks; see also :func:`mmrefine.refine`.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> coarse = np.zeros((1, 96, 128), bool)
        >>> coarse[0, 28:76, 28:92] = True
        >>> detections = SimpleNamespace(mask=coarse, xyxy=np.array([[28, 28, 92, 76]]))  # as supervision.Detections
        >>> refine_detections(np.full((96, 128, 3), 30, np.uint8), detections, device='cpu').mask.shape
        (1, 96, 128)
    """
    refined = copy.deepcopy(detections)
    if getattr(detections, 'mask', None) is None:
        if len(getattr(detections, 'xyxy', [None])) == 0:
            return refined
        raise ValueError('the detections have no masks; expected detections.mask (N, H, W).')
    refined.mask = refine(image, detections, **options).masks
    for index, mask in enumerate(refined.mask):
        if mask.any():
            x, y, width, height = box_of(mask)
            refined.xyxy[index] = x, y, x + width, y + height
    return refined


def refine_sample(sample: Any, field: str = 'ground_truth', **options: Any) -> None:
    """Refine the instance masks of a FiftyOne sample in place, without saving it (``sample.save()``).

    Args:
        sample: sample with ``filepath`` and a field of ``Detections``, whose masks fill their boxes, in any
            resolution. Masks in files (``mask_path``) are refined into ``mask``, and the files are not changed.
            Detections without a mask are skipped.
        field: name of the field.
        options: see :func:`mmrefine.refine`.

    Raises:
        ValueError: a mask is not (h, w); see also :func:`mmrefine.refine`.

    Example:
        >>> from PIL import Image
        >>> import numpy as np
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> Sample = type('Sample', (dict,), {})  # as fiftyone.Sample
        >>> detection = SimpleNamespace(mask=np.ones((48, 64), bool), bounding_box=[0.25, 0.25, 0.5, 0.5])
        >>> sample = Sample(ground_truth=SimpleNamespace(detections=[detection]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sample.filepath = f'{folder}/image.png'
        ...     Image.new('RGB', (128, 96)).save(sample.filepath)
        ...     refine_sample(sample, device='cpu')
        >>> detection.mask.dtype, len(detection.bounding_box)
        (dtype('bool'), 4)
    """
    image = read_image(sample.filepath)
    height, width = image.shape[:2]
    masks = {index: _mask_of(item) for index, item in enumerate(sample[field].detections)}
    detections = [sample[field].detections[index] for index, mask in masks.items() if mask is not None]
    if not detections:
        return
    crops = [mask for mask in masks.values() if mask is not None]
    coarse = np.zeros((len(detections), height, width), bool)
    for mask, crop, item in zip(coarse, crops, detections, strict=True):
        if np.ndim(crop) != 2:
            raise ValueError(f'the mask of a detection must be (h, w), got {np.shape(crop)}.')
        x, y, box_width, box_height = (
            side * scale for side, scale in zip(item.bounding_box, 2 * (width, height), strict=True)
        )
        left, top = round(x), round(y)
        if abs(crop.shape[0] - box_height) > 1 or abs(crop.shape[1] - box_width) > 1:
            sides = max(round(x + box_width) - left, 1), max(round(y + box_height) - top, 1)
            crop = cv2.resize((np.asarray(crop) > 0).astype(np.uint8), sides, interpolation=cv2.INTER_NEAREST)
        part = mask[max(top, 0) : top + crop.shape[0], max(left, 0) : left + crop.shape[1]]
        crop = crop[max(-top, 0) :, max(-left, 0) :]
        part[:] = crop[: part.shape[0], : part.shape[1]] > 0
    result = refine(image, coarse, **options)
    for mask, accepted, item in zip(result.masks, result.accepted, detections, strict=True):
        if accepted:
            x, y, box_width, box_height = (round(side) for side in box_of(mask))
            if getattr(item, 'mask_path', None) is not None:
                item.mask_path = None
            item.mask = mask[y : y + box_height, x : x + box_width]
            item.bounding_box = [x / width, y / height, box_width / width, box_height / height]


def _mask_of(detection: Any) -> np.ndarray | None:
    """The mask of a detection of FiftyOne, which may be in a file."""
    is_in_file = detection.mask is None and getattr(detection, 'mask_path', None) is not None
    return detection.get_mask() if is_in_file else detection.mask
