"""Refinement of detections of other tools: supervision and FiftyOne."""

from __future__ import annotations

import copy
from typing import Any

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
        a copy with refined masks and their boxes; boxes of empty masks are kept.

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
    if getattr(detections, 'mask', None) is None:
        raise ValueError('the detections have no masks; expected detections.mask (N, H, W).')
    refined = copy.deepcopy(detections)
    refined.mask = refine(image, detections.mask, **options).masks
    for index, mask in enumerate(refined.mask):
        if mask.any():
            x, y, width, height = box_of(mask)
            refined.xyxy[index] = x, y, x + width, y + height
    return refined


def refine_sample(sample: Any, field: str = 'ground_truth', **options: Any) -> None:
    """Refine the instance masks of a FiftyOne sample in place, without saving it (``sample.save()``).

    Args:
        sample: sample with ``filepath`` and a field of ``Detections``, whose masks are relative to their boxes.
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
        >>> class Sample(dict): pass  # in place of fiftyone.Sample
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
    detections = [item for item in sample[field].detections if item.mask is not None]
    if not detections:
        return
    coarse = np.zeros((len(detections), height, width), bool)
    for mask, item in zip(coarse, detections, strict=True):
        if np.ndim(item.mask) != 2:
            raise ValueError(f'the mask of a detection must be (h, w), got {np.shape(item.mask)}.')
        left, top = round(item.bounding_box[0] * width), round(item.bounding_box[1] * height)
        part = mask[top : top + item.mask.shape[0], left : left + item.mask.shape[1]]
        part[:] = np.asarray(item.mask, bool)[: part.shape[0], : part.shape[1]]
    result = refine(image, coarse, **options)
    for mask, accepted, item in zip(result.masks, result.accepted, detections, strict=True):
        if accepted:
            x, y, box_width, box_height = (round(side) for side in box_of(mask))
            item.mask = mask[y : y + box_height, x : x + box_width]
            item.bounding_box = [x / width, y / height, box_width / width, box_height / height]
