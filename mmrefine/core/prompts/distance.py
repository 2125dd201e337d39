"""Distance transforms of masks, inside and outside. Legend: N masks, H and W in pixels, h and w the tight box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmrefine.core.crops import mask_boxes

FAR = np.float32(1e10)
"""Distance to an empty set."""

_DIAGONAL = np.float32(2**0.5)
_PLANES_PER_SWEEP = 32


@dataclass(frozen=True)
class DistanceField:
    """Distance transforms of one mask, cropped to its tight box.

    Attributes:
        box_xyxy: the box, inclusive pixel indices.
        mask: (h, w) bool, the mask.
        inside: (h, w) float32, distance of mask pixels to the nearest pixel outside the mask, 0 elsewhere.
        outside: (h, w) float32, distance of other pixels to the mask, 0 on the mask.
    """

    box_xyxy: tuple[int, int, int, int]
    mask: np.ndarray
    inside: np.ndarray
    outside: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """The box as slices of rows and columns."""
        x1, y1, x2, y2 = self.box_xyxy
        return slice(y1, y2 + 1), slice(x1, x2 + 1)


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Tight box (x1, y1, x2, y2) of an (H, W) bool mask, inclusive pixel indices; None for an empty mask.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((6, 8), bool)
        >>> mask[1:5, 2:7] = True
        >>> tight_box(mask)
        (2, 1, 6, 4)
    """
    x1, y1, x2, y2 = mask_boxes(mask[None])[0].tolist()
    return (x1, y1, x2 - 1, y2 - 1) if x2 else None


def distance_fields(
    masks: np.ndarray, distance: str = 'chamfer', released_behaviour: bool = False
) -> list[DistanceField]:
    """Distance fields of masks, computed on their boxes plus one pixel, which gives the same values as the image.

    The image border is not background, except for a mask that covers the whole image, where distances are those to the
    border, so that its deepest pixel is the centre. With ``released_behaviour`` its distances are all ``FAR``, and the
    field of an empty mask is that of the single background pixel (0, 0).

    Args:
        masks: (N, H, W) bool.
        distance: 'chamfer', as in the authors' code, or 'euclidean'.

    Raises:
        ValueError: an unknown distance, or an empty mask.

    Example:
        >>> import numpy as np
        >>> masks = np.zeros((1, 6, 8), bool)
        >>> masks[0, 1:6, 2:7] = True
        >>> [field] = distance_fields(masks)
        >>> field.box_xyxy, float(field.inside.max())
        ((2, 1, 6, 5), 3.0)
    """
    check_distance(distance)
    boxes = [tight_box(mask) for mask in masks]
    if None in boxes and not released_behaviour:
        raise ValueError(f'mask {boxes.index(None)} is empty and has no prompts; skip empty masks.')
    boxes = [box or (0, 0, 0, 0) for box in boxes]
    fields: list[DistanceField | None] = [None] * len(masks)
    for chunk in _chunks_of_like_size(boxes):
        crops = [_crop_with_border(masks[i], boxes[i], released_behaviour) for i in chunk]
        planes = [plane for crop, _ in crops for plane in (crop, ~crop)]
        distances = _DISTANCES[distance](planes)
        for k, i in enumerate(chunk):
            window = crops[k][1]
            inside, outside = distances[2 * k][window], distances[2 * k + 1][window]
            fields[i] = DistanceField(boxes[i], crops[k][0][window], inside, outside)
    return fields


def check_distance(distance: str) -> None:
    """Check the name of a distance.

    Raises:
        ValueError: the distance is unknown.

    Example:
        >>> check_distance('euclidean')
        >>> check_distance('manhattan')
        Traceback (most recent call last):
        ValueError: distance must be one of ['chamfer', 'euclidean'], got 'manhattan'.
    """
    if distance not in _DISTANCES:
        raise ValueError(f'distance must be one of {sorted(_DISTANCES)}, got {distance!r}.')


def _chunks_of_like_size(boxes: list[tuple[int, int, int, int]]) -> Iterator[list[int]]:
    """Indices of boxes, grouped by similar size, since all masks of a pass are padded to the largest."""
    order = sorted(range(len(boxes)), key=lambda i: (boxes[i][2] - boxes[i][0]) + (boxes[i][3] - boxes[i][1]))
    step = _PLANES_PER_SWEEP // 2
    return (order[i : i + step] for i in range(0, len(order), step))


def _crop_with_border(
    mask: np.ndarray, box: tuple[int, int, int, int], released_behaviour: bool
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Crop a mask to its box plus one pixel, within the image; also the slices of the box in that crop."""
    x1, y1, x2, y2 = box
    left, top = min(x1, 1), min(y1, 1)
    crop = mask[y1 - top : y2 + 2, x1 - left : x2 + 2]
    if not released_behaviour and mask.shape == (y2 - y1 + 1, x2 - x1 + 1) and mask.all():
        crop, left, top = np.pad(mask, 1), 1, 1
    return crop, (slice(top, top + y2 - y1 + 1), slice(left, left + x2 - x1 + 1))


def euclidean_distance(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Exact distance of every foreground pixel to the background; arguments as :func:`chamfer_distance`.

    Example:
        >>> import numpy as np
        >>> euclidean_distance([np.array([[0, 1, 1, 1, 0]], bool)])[0].tolist()
        [[0.0, 1.0, 2.0, 1.0, 0.0]]
    """
    return [
        np.full(mask.shape, FAR)
        if mask.all()
        else cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for mask in masks
    ]


def chamfer_distance(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Chamfer distance of every foreground pixel to the background, with steps of 1 and sqrt(2).

    Computed in float32 by two passes over the rows and two over the columns, for all masks at once. Masks are padded
    with foreground, which changes no distance: a path through the padding is longer than the straight path beside it.

    Args:
        masks: at least one (H, W) bool mask; sizes may differ.

    Returns:
        (H, W) float32 for each, 0 on the background; ``FAR`` where a mask has no background.

    Example:
        >>> import numpy as np
        >>> chamfer_distance([np.array([[0, 1, 1, 1, 0]], bool)])[0].tolist()
        [[0.0, 1.0, 2.0, 1.0, 0.0]]
    """
    height, width = np.max([mask.shape for mask in masks], axis=0)
    field = np.full((height, len(masks), width), FAR)
    for k, mask in enumerate(masks):
        field[: mask.shape[0], k, : mask.shape[1]] = np.where(mask, FAR, np.float32(0))
    _sweep(field)
    field = np.ascontiguousarray(field.transpose(2, 1, 0))
    _sweep(field)
    field = field.transpose(1, 2, 0)
    return [np.ascontiguousarray(field[k, : mask.shape[0], : mask.shape[1]]) for k, mask in enumerate(masks)]


def _sweep(rows: np.ndarray) -> None:
    """Two passes of the chamfer transform over the rows, down and up; in place, in float32."""
    height, planes, width = rows.shape
    before = np.full((planes, width + 2), np.float32(np.inf))
    oblique = np.empty((planes, width), np.float32)
    straight = np.empty_like(oblique)
    for order in (range(height), range(height - 1, -1, -1)):
        before.fill(np.inf)
        for y in order:
            np.minimum(before[:, :-2], before[:, 2:], out=oblique)
            oblique += _DIAGONAL
            np.add(before[:, 1:-1], np.float32(1), out=straight)
            np.minimum(oblique, straight, out=oblique)
            np.minimum(rows[y], oblique, out=rows[y])
            before[:, 1:-1] = rows[y]


_DISTANCES = {'chamfer': chamfer_distance, 'euclidean': euclidean_distance}
