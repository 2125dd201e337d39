"""COCO segmentations: run-length encodings (RLE), compressed or not, and polygons. Legend: H, W in pixels.

Runs are in column-major order and start with background. Masks are written as RLE, which is lossless.
"""

from __future__ import annotations

import reprlib

import numpy as np
from pycocotools import mask as coco_mask

from mmrefine.core.checks import check_same_size
from mmrefine.core.crops import mask_boxes
from mmrefine.core.polygons import rasterize

_EXPECTED = 'expected polygons [[x, y, x, y, x, y, ...], ...] or RLE {"size": [H, W], "counts": string or list of runs}'


def decode_segmentation(segmentation: list | dict, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode a COCO segmentation to an (H, W) bool mask; an empty list of polygons is an empty mask.

    Args:
        segmentation: polygons (see :func:`~mmrefine.core.polygons.rasterize`), uncompressed or compressed RLE.
        size_hw: size of the image, (H, W).

    Raises:
        ValueError: the segmentation is invalid, or its size differs from ``size_hw``.

    Example:
        >>> decode_segmentation([[1, 1, 3, 1, 3, 3, 1, 3]], (4, 4)).sum().item()  # a square of 2 by 2 px as a polygon
        4
    """
    if isinstance(segmentation, dict) and {'size', 'counts'} <= segmentation.keys():
        return _decode_rle(segmentation, size_hw)
    if not isinstance(segmentation, list):
        raise ValueError(f'segmentation is neither polygons nor RLE: {_EXPECTED}, got {reprlib.repr(segmentation)}.')
    return rasterize(segmentation, size_hw)


def is_absent(segmentation: object) -> bool:
    """Whether there is no mask: null, or only empty polygons, as in box-only annotations."""
    return segmentation is None or (isinstance(segmentation, list) and all(part == [] for part in segmentation))


def encode_like(mask: np.ndarray, segmentation: list | dict) -> dict:
    """Encode a mask as RLE: uncompressed if ``segmentation`` is, else compressed."""
    if isinstance(segmentation, dict) and isinstance(segmentation['counts'], list):
        return encode_runs(mask)
    return encode_rle(mask)


def encode_rle(mask: np.ndarray) -> dict:
    """Encode an (H, W) bool mask as compressed RLE that JSON can store.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((3, 4), bool)
        >>> mask[1, 1:3] = True
        >>> rle = encode_rle(mask)
        >>> rle['size']
        [3, 4]
        >>> (decode_segmentation(rle, (3, 4)) == mask).all().item()
        True
    """
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(mask.shape), 'counts': rle['counts'].decode('ascii')}


def encode_runs(mask: np.ndarray) -> dict:
    """Encode an (H, W) bool mask as uncompressed RLE."""
    pixels = np.concatenate([[False], mask.ravel(order='F')])
    starts = np.flatnonzero(pixels[1:] != pixels[:-1])
    return {'size': list(mask.shape), 'counts': np.diff(starts, prepend=0, append=mask.size).tolist()}


def box_of(mask: np.ndarray) -> list[float]:
    """COCO's ``bbox`` of a mask: x, y, width, height in pixels; zeros for an empty mask.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((3, 4), bool)
        >>> mask[1, 1:3] = True
        >>> box_of(mask)  # x, y, width, height
        [1.0, 1.0, 2.0, 1.0]
    """
    x1, y1, x2, y2 = mask_boxes(mask[None])[0].tolist()
    return [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]


def _decode_rle(rle: dict, size_hw: tuple[int, int]) -> np.ndarray:
    size = rle['size']
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(_is_count(side) for side in size):
        raise ValueError(f'RLE cannot be read: {_EXPECTED}, got the size {reprlib.repr(size)}.')
    check_same_size('RLE is', tuple(map(int, size)), size_hw)
    runs = rle['counts']
    try:
        if isinstance(runs, (str, bytes)):
            runs = _decompress(runs)
        fits = all(map(_is_count, runs)) and sum(runs) == size_hw[0] * size_hw[1]
    except (TypeError, ValueError, UnicodeEncodeError) as error:
        raise ValueError(f'RLE cannot be read: {_EXPECTED}, got counts {reprlib.repr(rle["counts"])}.') from error
    if not fits:
        raise ValueError(
            f'RLE is damaged: its runs must be integers that add up to {size_hw[0]} x {size_hw[1]} pixels, '
            f'got counts {reprlib.repr(rle["counts"])}.'
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, np.array(runs, np.int64)).reshape(size_hw, order='F')


def _is_count(value: object) -> bool:
    """Whether this is a number of pixels; some tools write 12.0."""
    return not isinstance(value, bool) and (
        (isinstance(value, int) and value >= 0) or (isinstance(value, float) and value.is_integer() and value >= 0)
    )


def _decompress(counts: str | bytes) -> list[int]:
    """Runs of a compressed RLE.

    Format (COCO API, maskApi.c): a number is a sequence of characters, offset by '0', with five bits each, lowest
    first, and a continuation bit; the highest of the last five bits is the sign. From the fourth on, a number is the
    difference between a run and the second one before it.
    """
    codes = np.frombuffer(counts.encode('ascii') if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 0x20) == 0)
    if len(codes) and (codes.min() < 0 or codes.max() > 0x3F or not len(ends) or ends[-1] != len(codes) - 1):
        raise ValueError('not a compressed RLE')
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    position = np.arange(len(codes)) - np.repeat(starts, np.diff(ends, prepend=-1))
    if len(position) and position.max() > 11:
        raise ValueError('a run of more than 60 bits')
    numbers = np.add.reduceat((codes & 0x1F) << (5 * position), starts) if len(starts) else codes
    negative = (codes[ends] & 0x10) != 0
    numbers = numbers - np.where(negative, np.left_shift(1, 5 * (position[ends] + 1)), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers.tolist()
