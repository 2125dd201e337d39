"""Conversion of panoptic maps to masks and back. Legend: N segments, H and W in pixels.

The value of a pixel is ``class + INSTANCE_OFFSET * instance``, as in MMDetection: instances are numbered from 1, 0
stands for stuff. Classes beyond the known ones are void.
"""

from __future__ import annotations

import numpy as np

from mmrefine.core.regions import paint_regions, split_label_map

INSTANCE_OFFSET = 1000
_NO_STUFF = -1


def split_panoptic_map(
    panoptic_map: np.ndarray, num_classes: int, ignore_index: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split a panoptic map into masks: regions of stuff, then one mask per thing, each in the order of their values.

    Stuff is split like label maps (:func:`~mmrefine.core.regions.split_label_map`). A thing is one mask, however many
    components it has.

    Args:
        panoptic_map: (H, W) integer.
        num_classes: number of known classes.
        ignore_index: a class that is void too.

    Returns:
        masks (N, H, W) bool and their pixel values (N,) int64; ``values % INSTANCE_OFFSET`` are their classes.

    Raises:
        TypeError: not an integer array.
        ValueError: not (H, W).

    Example:
        >>> import numpy as np
        >>> panoptic_map = np.array([[1000, 1000, 2, 2]])  # instance 1 of class 0, and stuff of class 2
        >>> masks, values = split_panoptic_map(panoptic_map, num_classes=3)
        >>> masks.shape, sorted(values.tolist())
        ((2, 1, 4), [2, 1000])
    """
    void = void_pixels(panoptic_map, num_classes, ignore_index)
    is_thing = (panoptic_map >= INSTANCE_OFFSET) & ~void
    stuff_map = np.where(is_thing | void, _NO_STUFF, panoptic_map)
    stuff, values = split_label_map(stuff_map, background=None, void=_NO_STUFF)
    things = np.unique(panoptic_map[is_thing]).astype(np.int64)
    return np.concatenate([stuff, panoptic_map == things[:, None, None]]), np.concatenate([values, things])


def paint_panoptic_map(
    panoptic_map: np.ndarray,
    coarse: np.ndarray,
    refined: np.ndarray,
    values: np.ndarray,
    scores: np.ndarray,
    num_classes: int,
    ignore_index: int | None = None,
) -> np.ndarray:
    """Write refined segments back into their panoptic map.

    In overlaps the higher score wins; pixels that a segment lost and no other segment covers keep their value
    (:func:`~mmrefine.core.regions.paint_regions`); void stays void.

    Args:
        panoptic_map, num_classes, ignore_index: as for :func:`split_panoptic_map`.
        coarse, refined: (N, H, W) bool, segments before and after refinement.
        values: (N,) int, pixel values of the segments.
        scores: (N,) float, quality of the segments.

    Returns:
        (H, W), a new map of the same dtype.
    """
    painted = paint_regions(panoptic_map, coarse, refined, values, scores, background=None, void=None)
    void = void_pixels(panoptic_map, num_classes, ignore_index)
    painted[void] = panoptic_map[void]
    return painted


def void_pixels(panoptic_map: np.ndarray, num_classes: int, ignore_index: int | None = None) -> np.ndarray:
    """(H, W) bool: pixels whose class is not among ``num_classes``, or is ``ignore_index``."""
    classes = panoptic_map % INSTANCE_OFFSET
    void = classes >= num_classes
    return void if ignore_index is None else void | (classes == ignore_index)
