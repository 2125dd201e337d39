"""Conversion of images and masks from arrays, tensors, PIL images, paths, lists and supervision.

Legend: N masks, H and W in pixels.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

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
        array = _as_array(image)
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
        return _as_array(masks)
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
    if hasattr(getattr(masks, 'mask', None), '__array__'):  # an array, or a CompactMask
        return np.asarray(masks.mask)
    raise TypeError(
        'masks must be an array, a tensor, a PIL image, a path, Detections with masks, or a list of masks, '
        f'got {type(masks).__name__}{" of length 0" if isinstance(masks, (list, tuple)) else ""}.'
    )


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """Tensor of any dtype and device as an array; numpy has no bfloat16."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()
