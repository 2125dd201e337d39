"""Checks of what users hand in; every refusal says what was expected, what came and what to do."""

from __future__ import annotations

import numpy as np

MASK_THRESHOLD = 0.5


def check_image(image: np.ndarray) -> np.ndarray:
    """Accept (H, W, 3) uint8 RGB.

    Raises:
        TypeError: not an array, or not uint8.
        ValueError: not of three channels, or without pixels.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f'image must be a numpy array (H, W, 3) of uint8 RGB, got {type(image).__name__}.')
    if image.dtype != np.uint8:
        raise TypeError(
            f'image must be uint8 in 0..255, got {image.dtype}; convert it, for example (image * 255).astype("uint8").'
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'image must have shape (H, W, 3) in RGB order, got {image.shape}; '
            'repeat a grey image three times, drop the alpha channel of an RGBA one.'
        )
    if 0 in image.shape:
        raise ValueError(f'image has no pixels: its shape is {image.shape}.')
    return image


def check_masks(masks: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Accept N masks of one image as (N, H, W), or one as (H, W), and return them as (N, H, W) bool.

    bool is taken as it is, integers as binary (0 and 1, or 0 and 255), floats as probabilities in [0, 1] cut at 0.5.
    The result is a copy unless the input is bool already.

    Raises:
        TypeError: not an array, or a dtype that is no mask.
        ValueError: another size than the image, NaN, values outside the range.
    """
    if not isinstance(masks, np.ndarray):
        raise TypeError(f'masks must be a numpy array (N, H, W) or (H, W), got {type(masks).__name__}.')
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3:
        raise ValueError(f'masks must have shape (N, H, W) or (H, W), got {masks.shape}.')
    if masks.shape[1:] != tuple(size_hw):
        raise ValueError(
            f'masks must have the size of the image, {size_hw[0]}x{size_hw[1]} (HxW), got '
            f'{masks.shape[1]}x{masks.shape[2]}; resize them, and mind a rotation in the EXIF data of photographs.'
        )
    return binarize(masks)


def binarize(masks: np.ndarray) -> np.ndarray:
    """Masks of any shape and accepted dtype as bool; see :func:`check_masks`."""
    if masks.dtype == bool:
        return masks
    if np.issubdtype(masks.dtype, np.floating):
        if masks.size and not np.isfinite(masks).all():
            raise ValueError('masks hold NaN or infinite values; expected probabilities in [0, 1].')
        if masks.size and (masks.min() < 0 or masks.max() > 1):
            raise ValueError(
                f'float masks must be probabilities in [0, 1], got values from {masks.min():.4g} to {masks.max():.4g}; '
                'apply a sigmoid to logits, divide 0..255 by 255.'
            )
        return masks >= MASK_THRESHOLD
    if np.issubdtype(masks.dtype, np.integer):
        values = np.unique(masks)
        if not (np.isin(values, (0, 1)).all() or np.isin(values, (0, 255)).all()):
            raise ValueError(
                f'integer masks must be binary, 0/1 or 0/255, got values {values[:6].tolist()}'
                f'{" ..." if len(values) > 6 else ""}; a label map must be split into one mask per region first.'
            )
        return masks > 0
    raise TypeError(f'masks must be bool, integer or float, got dtype {masks.dtype}.')
