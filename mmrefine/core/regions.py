"""Conversion of label maps to regions and back: split-then-merge (SAMRefiner, section 3.3), overlaps, void.

Legend: N regions, H and W in pixels. A region is one binary mask of one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

VOID = 255
SPLITS = ('merged', 'components', 'classes')
_BLOCK = 512


def split_label_map(
    label_map: np.ndarray,
    *,
    background: int | None = 0,
    void: int | None = VOID,
    min_area_px: int = 5,
    split: str = 'merged',
) -> tuple[np.ndarray, np.ndarray]:
    """Split a label map into regions: the 8-connected components of each class, without small ones, close ones merged.

    A class with a single component keeps it, however small it is. Regions are sorted by class, and within a class by
    OpenCV's component labels.

    Args:
        label_map: (H, W) integer.
        background: label of the background, or None.
        void: label of ignored pixels, or None.
        min_area_px: smaller components are dropped; their pixels belong to no region.
        split: 'merged', see :func:`merge_regions`; 'components', without merging; or 'classes', one region per class.

    Returns:
        masks (N, H, W) bool and labels (N,) int64.

    Raises:
        TypeError: not an integer array.
        ValueError: not (H, W), or an unknown ``split``.

    Example:
        >>> import numpy as np
        >>> label_map = np.zeros((6, 12), int)
        >>> label_map[1:5, 1:5] = 3
        >>> label_map[1:5, 7:11] = 8
        >>> masks, labels = split_label_map(label_map, background=0)
        >>> masks.shape, labels.tolist()
        ((2, 6, 12), [3, 8])
    """
    regions = label_regions(label_map, background=background, void=void, min_area_px=min_area_px, split=split)
    masks = np.zeros((len(regions), *label_map.shape), bool)
    for mask, region in zip(masks, regions, strict=True):
        mask[region.slices] = region.crop
    return masks, np.array([region.label for region in regions], np.int64)


class Region(NamedTuple):
    """A region of a label map, stored as a crop: full masks of all regions of a noisy map may not fit into memory.

    Attributes:
        label: class of the region.
        slices: rows and columns of its box.
        crop: (h, w) bool, its pixels in the box.
    """

    label: int
    slices: tuple[slice, slice]
    crop: np.ndarray

    def mask(self, size_hw: tuple[int, int]) -> np.ndarray:
        """The region as an (H, W) bool mask."""
        mask = np.zeros(size_hw, bool)
        mask[self.slices] = self.crop
        return mask


def label_regions(
    label_map: np.ndarray,
    *,
    background: int | None = 0,
    void: int | None = VOID,
    min_area_px: int = 5,
    split: str = 'merged',
) -> list[Region]:
    """The regions of :func:`split_label_map` as crops."""
    label_map = _check_label_map(label_map)
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}.')
    regions = []
    for label in np.unique(label_map).tolist():
        if label in (background, void):
            continue
        components = (label_map == label).astype(np.int32)
        if split != 'classes':
            _, components = cv2.connectedComponents(components.astype(np.uint8), connectivity=8)
        for numbers, slices in _grouped(components, min_area_px, split == 'merged'):
            crop = components[slices]
            crop = crop == numbers[0] if len(numbers) == 1 else np.isin(crop, numbers)
            regions.append(Region(label, slices, crop))
    return regions


def merge_regions(boxes: np.ndarray, areas_px: np.ndarray) -> list[list[int]]:
    """Group regions that probably belong to one object, in one pass over all pairs.

    Every pair is visited once, in order, the second index varying fastest; the regions compared are those that the two
    have been merged into so far. Regions of m1 and m2 pixels whose boxes B1 and B2 have the common box B are merged if
    |B1| + |B2| > 0.5 |B| and (m1 + m2) / |B| > min(0.5, min(m1 / |B1|, m2 / |B2|) - 0.1). Sides of B1 and B2 count
    pixels, those of B are differences of pixel indices, as in the authors' code; a common box that is one pixel high
    therefore has area 0, and two regions on one line are always merged.

    Args:
        boxes: (R, 4) int64 xyxy boxes of the regions, inclusive pixel indices.
        areas_px: (R,) int64, areas of the regions.

    Returns:
        indices of the regions of each object.
    """
    boxes, areas_px = boxes.copy(), areas_px.copy()
    owner = np.arange(len(boxes))
    grown: list[int] = []
    # Length of `grown` when a region was last compared with all others without merging: only later growth matters.
    alone_at = np.full(len(boxes), -1)

    def belongs(region: int, others: np.ndarray) -> np.ndarray:
        near = _belong_together(boxes[region], areas_px[region], boxes[others], areas_px[others])
        return near & (others != region)

    for first in range(len(boxes)):
        region = owner[first]
        if alone_at[region] >= 0:
            since = owner[grown[alone_at[region] :]]
            if not (since == region).any() and not belongs(region, since).any():
                alone_at[region] = len(grown)
                continue
        grown_before = len(grown)
        others = np.flatnonzero(owner[first + 1 :] != region) + first + 1
        index = 0
        while index < len(others):
            # In blocks: after each merge, the remaining ones are compared with a larger region.
            block = owner[others[index : index + _BLOCK]]
            found = np.flatnonzero(belongs(region, block))
            if not len(found):
                index += len(block)
                continue
            index += int(found[0]) + 1
            other = block[found[0]]
            boxes[region] = _hull(boxes[region], boxes[other])
            areas_px[region] += areas_px[other]
            owner[owner == other] = region
            grown.append(region)
        alone_at[region] = len(grown) if len(grown) == grown_before else -1
    order = np.argsort(owner, kind='stable')
    return [group.tolist() for group in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1) if len(group)]


def _grouped(components: np.ndarray, min_area_px: int, merge: bool) -> Iterator[tuple[list[int], tuple[slice, slice]]]:
    """Numbers of the components of each region, and its box."""
    boxes = ndimage.find_objects(components)
    areas_px = np.bincount(components.ravel(), minlength=len(boxes) + 1)[1:]
    numbers = np.array([index for index, box in enumerate(boxes) if box is not None], np.int64)
    if len(numbers) > 1:
        numbers = numbers[areas_px[numbers] >= min_area_px]
    corners = [
        (boxes[n][1].start, boxes[n][0].start, boxes[n][1].stop - 1, boxes[n][0].stop - 1) for n in numbers.tolist()
    ]
    corners = np.array(corners, np.int64).reshape(-1, 4)
    for group in merge_regions(corners, areas_px[numbers]) if merge else [[index] for index in range(len(numbers))]:
        left, top = corners[group, :2].min(axis=0).tolist()
        right, bottom = corners[group, 2:].max(axis=0).tolist()
        yield (numbers[group] + 1).tolist(), (slice(top, bottom + 1), slice(left, right + 1))


def _hull(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    corners = np.minimum(box[..., :2], others[..., :2]), np.maximum(box[..., 2:], others[..., 2:])
    return np.concatenate(corners, axis=-1)


def _box_area_px(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(axis=-1)


def _belong_together(box: np.ndarray, area_px: int, boxes: np.ndarray, areas_px: np.ndarray) -> np.ndarray:
    """(R,) bool: the criterion of :func:`merge_regions` for one region with each of R others."""
    hulls = _hull(box, boxes)
    hull_areas = (hulls[:, 2:] - hulls[:, :2]).prod(axis=1)
    own, theirs = _box_area_px(box), _box_area_px(boxes)
    fill = np.minimum(area_px / own, areas_px / theirs)
    is_near = own + theirs > 0.5 * hull_areas
    # The maximum only avoids a division by 0; hulls without area are merged anyway.
    is_dense = (area_px + areas_px) / np.maximum(hull_areas, 1) > np.minimum(0.5, fill - 0.1)
    return (hull_areas == 0) | (is_near & is_dense)


def resolve_overlaps(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Assign each pixel to one mask: the one with the highest score, then the smallest, then the first.

    Args:
        masks: (N, H, W) bool.
        scores: (N,) float.

    Returns:
        (H, W) int64, the index of the mask, -1 where there is none.
    """
    owner = np.full(masks.shape[1:], -1, np.int64)
    for index in painting_order(scores, np.count_nonzero(masks, axis=(1, 2))):
        owner[masks[index]] = index
    return owner


def paint_regions(
    label_map: np.ndarray,
    coarse: np.ndarray,
    refined: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    background: int | None = 0,
    void: int | None = VOID,
) -> np.ndarray:
    """Write refined regions back into their label map.

    Overlaps are resolved by :func:`resolve_overlaps`. A pixel that its region lost and that no other region covers
    becomes background, or keeps its label if there is no background class. Pixels that were in no region keep their
    label unless a region covers them. Void pixels stay void.

    Args:
        label_map: (H, W) integer, the map that was split.
        coarse: (N, H, W) bool, the regions before refinement.
        refined: (N, H, W) bool, the regions after refinement.
        labels: (N,) int.
        scores: (N,) float, quality of the regions, which decides overlaps.

    Returns:
        (H, W), a new map of the dtype of ``label_map``.

    Raises:
        ValueError: shapes that do not match.
    """
    label_map = _check_label_map(label_map)
    if not (coarse.shape == refined.shape == (len(labels), *label_map.shape) and len(labels) == len(scores)):
        raise ValueError(
            f'coarse and refined must be (N, {label_map.shape[0]}, {label_map.shape[1]}) for N labels and scores, got '
            f'{coarse.shape}, {refined.shape}, {len(labels)} labels and {len(scores)} scores.'
        )
    areas_px = np.count_nonzero(refined, axis=(1, 2))
    painted = ((labels[index], refined[index]) for index in painting_order(scores, areas_px))
    return paint_in_order(label_map, coarse.any(axis=0), painted, background=background, void=void)


def painting_order(scores: np.ndarray, areas_px: np.ndarray) -> np.ndarray:
    """Order of N masks in which painting one over the other resolves overlaps as in :func:`resolve_overlaps`."""
    return np.lexsort((-np.arange(len(areas_px)), -np.asarray(areas_px), np.asarray(scores)))


def paint_in_order(
    label_map: np.ndarray,
    in_regions: np.ndarray,
    regions: Iterable[tuple[int, np.ndarray]],
    *,
    background: int | None = 0,
    void: int | None = VOID,
) -> np.ndarray:
    """:func:`paint_regions` with one region in memory at a time.

    Args:
        label_map: (H, W) integer, the map that was split.
        in_regions: (H, W) bool, the pixels of all regions before refinement.
        regions: labels and (H, W) bool refined masks, in the order of :func:`painting_order`.
    """
    painted = label_map.copy()
    if background is not None:
        painted[in_regions] = background
    for label, mask in regions:
        painted[mask] = label
    if void is not None:
        painted[label_map == void] = void
    return painted


def _check_label_map(label_map: np.ndarray) -> np.ndarray:
    if not isinstance(label_map, np.ndarray) or not np.issubdtype(label_map.dtype, np.integer):
        got = label_map.dtype if isinstance(label_map, np.ndarray) else type(label_map).__name__
        raise TypeError(f'a label map must be an integer array (H, W), got {got}; take the argmax of scores first.')
    if label_map.ndim != 2:
        raise ValueError(f'a label map must be (H, W), got shape {label_map.shape}; read palette PNGs without colours.')
    return label_map
