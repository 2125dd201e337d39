"""Conversion of images and masks from arrays, tensors, PIL images, paths, lists, supervision and FiftyOne.

Legend: N masks, H and W in pixels.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmrefine.core.rle import box_of
from mmrefine.files.images import read_image
from mmrefine.files.mask_files import read_mask_file


def as_image(image: Any) -> np.ndarray:
    """Convert an image to an array.

    Args:
        image: an (H, W, 3) array, which is returned unchanged; a (3, H, W) or (H, W, 3) uint8 tensor; a PIL image; or a
            path.

    Raises:
        ValueError, FileNotFoundError: it cannot be read.
    """
    if isinstance(image, torch.Tensor):
        array = image.detach().cpu().numpy()
        is_planes = array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3
        return np.ascontiguousarray(array.transpose(1, 2, 0)) if is_planes else array
    if isinstance(image, Image.Image):
        return np.array(image.convert('RGB'))
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    return image


def as_masks(masks: Any) -> np.ndarray:
    """Convert masks to an array, (N, H, W) or (H, W).

    Args:
        masks: an array, which is returned unchanged; a tensor; a PIL image; the path of a PNG or .npy file; an object
            with an attribute ``mask``, such as ``supervision.Detections``; or a list of (H, W) masks of these types.

    Raises:
        TypeError, ValueError, FileNotFoundError: they have another type, or cannot be read.
    """
    if isinstance(masks, np.ndarray):
        return masks
    if isinstance(masks, torch.Tensor):
        return masks.detach().cpu().numpy()
    if isinstance(masks, Image.Image):
        return np.array(masks.convert('L') if masks.mode in ('RGB', 'RGBA') else masks)
    if isinstance(masks, (str, os.PathLike)):
        is_array = Path(masks).suffix.lower() == '.npy'
        return np.load(masks, allow_pickle=False) if is_array else read_mask_file(masks).binary()
    if isinstance(masks, (list, tuple)) and masks:
        arrays = [as_masks(mask) for mask in masks]
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) > 1 or len(shapes[0]) != 2:
            raise ValueError(f'a list must contain (H, W) masks of the same size, got {shapes}.')
        return np.stack(arrays)
    if isinstance(getattr(masks, 'mask', None), np.ndarray):
        return masks.mask
    raise TypeError(
        'masks must be an array, a tensor, a PIL image, a path, Detections with masks, or a list of masks, '
        f'got {type(masks).__name__}{" of length 0" if isinstance(masks, (list, tuple)) else ""}.'
    )


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
    from mmrefine.apis.inferencer import refine

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
    from mmrefine.apis.inferencer import refine

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
