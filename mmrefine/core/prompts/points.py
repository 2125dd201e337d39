"""Distance-guided point prompts (SAMRefiner, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmrefine.core.prompts.distance import DistanceField

POSITIVE, NEGATIVE, NO_POINT = 1, 0, -1


def prompt_points(
    fields: Sequence[DistanceField], negative: bool = True, released_behaviour: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Point prompts: the deepest pixel of every mask and, optionally, the pixel of its box that is farthest from it.

    Ties go to the first pixel in row-major order. A mask that fills its box has no negative point: its label is then
    -1, "no point" in SAM. With ``released_behaviour``, the last row and column of the box are ignored, and a missing
    negative point becomes a negative point at (0, 0).

    Args:
        fields: distance fields of N masks.
        negative: whether to add negative points.

    Returns:
        coordinates (N, P, 2) int64, (x, y) pixels of the image, and labels (N, P) int64; P is 1 or 2.

    Example:
        >>> import numpy as np
        >>> from mmrefine.core.prompts import distance_fields
        >>> mask = np.zeros((7, 9), bool)
        >>> mask[1:6, 2:7] = True
        >>> coords, labels = prompt_points(distance_fields(mask[None]))
        >>> coords[0, 0].tolist(), labels.tolist()  # the mask fills its box: no negative point
        ([4, 3], [[1, -1]])
    """
    coords = np.zeros((len(fields), 1 + negative, 2), np.int64)
    labels = np.full(coords.shape[:2], POSITIVE, np.int64)
    for i, field in enumerate(fields):
        coords[i, 0] = _farthest(field, field.inside)
        if negative:
            outside = field.outside[:-1, :-1] if released_behaviour else field.outside
            found = outside.any()
            coords[i, 1] = _farthest(field, outside) if found else (0, 0)
            labels[i, 1] = NEGATIVE if found or released_behaviour else NO_POINT
    return coords, labels


def _farthest(field: DistanceField, distance: np.ndarray) -> tuple[int, int]:
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return field.box_xyxy[0] + int(x), field.box_xyxy[1] + int(y)
