"""Validation of user inputs."""

from __future__ import annotations

import numpy as np

MASK_THRESHOLD = 0.5
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]
_MAX_LABELS = 64


def check_image(image: np.ndarray) -> np.ndarray:
    """Return the image if it is (H, W, 3) uint8 RGB.

    Raises:
        TypeError: not an array, or not uint8.
        ValueError: not three channels, or no pixels.
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
            'repeat the channel of a grey image three times, drop the alpha channel of an RGBA image.'
        )
    if 0 in image.shape:
        raise ValueError(f'image has no pixels: its shape is {image.shape}.')
    return image


def check_masks(masks: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Return masks of one image, (N, H, W) or (H, W), as (N, H, W) bool; :func:`binarize` lists the accepted dtypes.

    The result is a copy unless the input is bool.

    Raises:
        TypeError: not an array, or an unsupported dtype.
        ValueError: the size differs from the image's, NaN, or values out of range.
    """
    if not isinstance(masks, np.ndarray):
        raise TypeError(f'masks must be a numpy array (N, H, W) or (H, W), got {type(masks).__name__}.')
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3:
        raise ValueError(f'masks must have shape (N, H, W) or (H, W), got {masks.shape}.')
    check_same_size('masks must have the size of the image: they are', masks.shape[1:], size_hw)
    return binarize(masks)


def check_same_size(what: str, size_hw: tuple[int, int], image_hw: tuple[int, int]) -> None:
    """Check that masks have the size of their image; the error suggests why they do not.

    Args:
        what: beginning of the error message, up to the size of the masks.
        size_hw: size of the masks.
        image_hw: size of the image.

    Raises:
        ValueError: the sizes differ.
    """
    (height, width), (image_height, image_width) = size_hw, image_hw
    if (height, width) == (image_height, image_width):
        return
    if (height, width) == (image_width, image_height):
        hint = (
            'height and width are swapped: masks must be drawn on the upright image, after the rotation in its EXIF '
            'data'
        )
    elif height != image_height and abs(height * image_width - width * image_height) < _tolerance(size_hw, image_hw):
        hint = 'the sizes are proportional: give the image on which the masks were drawn, or resize the masks'
    else:
        hint = 'they belong to another image'
    raise ValueError(f'{what} {height}x{width} (HxW) but the image is {image_height}x{image_width}; {hint}.')


def _tolerance(size_hw: tuple[int, int], image_hw: tuple[int, int]) -> int:
    """Maximum difference of the cross products of two proportional sizes, one of whose sides is rounded to a pixel."""
    return max(min(size_hw), min(image_hw))


def binarize(masks: np.ndarray) -> np.ndarray:
    """Convert masks of any shape to bool.

    bool is unchanged; floats are probabilities in [0, 1], thresholded at 0.5; integers are binary (0 and 1, 0 and 255,
    0 and 65535 in 16 bits), or uint8 probabilities (255 stands for 1), thresholded at 0.5.

    Raises:
        TypeError: an unsupported dtype.
        ValueError: NaN, values out of range such as logits, or the labels of a label map.
    """
    if masks.dtype == bool:
        return masks
    if np.issubdtype(masks.dtype, np.floating):
        if masks.size and not np.isfinite(masks).all():
            raise ValueError('masks contain NaN or infinite values; expected probabilities in [0, 1].')
        if masks.size and (masks.min() < 0 or masks.max() > 1):
            raise ValueError(
                f'float masks must be probabilities in [0, 1], got values from {masks.min():.4g} to {masks.max():.4g}; '
                'apply a sigmoid to logits, divide 0..255 by 255.'
            )
        return masks >= MASK_THRESHOLD
    if np.issubdtype(masks.dtype, np.integer):
        levels = np.unique(masks)
        cut = foreground_level(levels)
        if cut is None:
            raise ValueError(
                f'integer masks must be binary, 0/1 or 0/255, got values {levels[:6].tolist()}'
                f'{" ..." if len(levels) > 6 else ""}; a label map must be split into one mask per region first.'
            )
        return masks >= cut
    raise TypeError(f'masks must be bool, integer or float, got dtype {masks.dtype}.')


def foreground_level(levels: np.ndarray) -> int | None:
    """Lowest foreground value of an integer mask: 1 for binary masks, 128 for probabilities, None for a label map.

    A few values that are all below 128 or 255 are taken for the labels and the void of a label map.

    Args:
        levels: the unique values of a mask, sorted, in its integer dtype.
    """
    full = np.iinfo(levels.dtype).max
    if any(np.isin(levels, (0, one)).all() for one in (1, 255, full)):
        return 1
    half = int(np.ceil(255 * MASK_THRESHOLD))
    is_soft = len(levels) > _MAX_LABELS or ((levels >= half) & (levels < 255)).any()
    return half if levels.dtype == np.uint8 and is_soft else None
