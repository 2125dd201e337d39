"""Label maps as regions, and back: split-then-merge (SAMRefiner, section 3.3), overlaps, void.

Legend: N regions, H and W in pixels. A region is one binary mask of one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from mmrefine.core.prompts.distance import tight_box

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
    """Regions of a label map: per class its 8-connected components, small ones dropped, close ones merged.

    A class of a single component keeps it, however small it is. Classes come in ascending order, regions within a class
    in the order of OpenCV's component labels.

    Args:
        label_map: (H, W) integer.
        background: a label that is not an object, or None.
        void: the label of pixels that are not to be judged, or None.
        min_area_px: components below this area are dropped; their pixels belong to no region.
        split: 'merged', see :func:`merge_regions`; 'components', without merging; or 'classes', one region per class.

    Returns:
        masks (N, H, W) bool and labels (N,) int64.

    Raises:
        TypeError, ValueError: not an integer array, not (H, W), or another ``split``.

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
    """A region of a label map, cut out: a map of noise has more regions than full masks of them fit into memory.

    Attributes:
        label: of its class.
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
    """The regions of :func:`split_label_map`, cut out."""
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


def regions_of_components(components: np.ndarray, min_area_px: int = 5, merge: bool = True) -> list[np.ndarray]:
    """Masks of numbered components (H, W), 0 being none; see :func:`split_label_map`."""
    return [np.isin(components, numbers) for numbers, _ in _grouped(components, min_area_px, merge)]


def merge_regions(regions: list[np.ndarray]) -> list[np.ndarray]:
    """Join parts of what is probably one object, in one pass.

    Every pair of parts is visited once, in order, the later one varying fastest. What is compared, and joined, are the
    regions that the two belong to by then, as they have grown. Regions of m1 and m2 pixels whose boxes B1 and B2 have
    the hull B belong together where |B1| + |B2| > 0.5 |B| and
    (m1 + m2) / |B| > min(0.5, min(m1 / |B1|, m2 / |B2|) - 0.1). Sides of B1 and B2 count their pixels, those of B are
    differences of pixel indices, as the paper's numbers were made; so a hull one pixel high has the area 0, and two
    regions on one line always belong together.

    Args:
        regions: (H, W) bool, none of them empty.
    """
    if not regions:
        return []
    boxes = np.array([tight_box(region) for region in regions], np.int64)
    areas_px = np.array([np.count_nonzero(region) for region in regions], np.int64)
    return [np.any([regions[member] for member in group], axis=0) for group in _merge(boxes, areas_px)]


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
    for group in _merge(corners, areas_px[numbers]) if merge else [[index] for index in range(len(numbers))]:
        left, top = corners[group, :2].min(axis=0).tolist()
        right, bottom = corners[group, 2:].max(axis=0).tolist()
        yield (numbers[group] + 1).tolist(), (slice(top, bottom + 1), slice(left, right + 1))


def _merge(boxes: np.ndarray, areas_px: np.ndarray) -> list[list[int]]:
    """Which components are one region, by :func:`merge_regions`; (R, 4) boxes of inclusive indices, (R,) areas."""
    boxes, areas_px = boxes.copy(), areas_px.copy()
    owner = np.arange(len(boxes))
    grown: list[int] = []
    # How many regions had grown when one was last compared with all the others and took in none.
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
            # A block at a time: after each one taken in, the rest is compared with a larger region.
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
    # A hull without an area is divided by 1, and answered beforehand.
    is_dense = (area_px + areas_px) / np.maximum(hull_areas, 1) > np.minimum(0.5, fill - 0.1)
    return (hull_areas == 0) | (is_near & is_dense)


def resolve_overlaps(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Who owns each pixel: the mask of the highest score; of equal scores the smaller mask; else the earlier one.

    Args:
        masks: (N, H, W) bool.
        scores: (N,) float.

    Returns:
        (H, W) int64, the index of the owner, -1 where there is none.
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

    Overlaps go by :func:`resolve_overlaps`. A pixel that its region gave up and no other claims becomes background, or
    keeps its label where there is no background class. Pixels that were in no region keep their label unless a region
    claims them. Void pixels stay void.

    Args:
        label_map: (H, W) integer, what was split.
        coarse: (N, H, W) bool, the regions before refinement.
        refined: (N, H, W) bool, the same after it.
        labels: (N,) int.
        scores: (N,) float, the qualities that decide overlaps.

    Returns:
        (H, W) a new map, of the dtype of ``label_map``.

    Raises:
        ValueError: numbers or sizes that do not fit.
    """
    label_map = _check_label_map(label_map)
    if not (coarse.shape == refined.shape == (len(labels), *label_map.shape) and len(labels) == len(scores)):
        raise ValueError(
            f'coarse and refined must be (N, {label_map.shape[0]}, {label_map.shape[1]}) for N labels and scores, got '
            f'{coarse.shape}, {refined.shape}, {len(labels)} labels and {len(scores)} scores.'
        )
    areas_px = np.count_nonzero(refined, axis=(1, 2))
    given_up = coarse.any(axis=0)
    order = painting_order(scores, areas_px)
    painted = ((labels[index], refined[index]) for index in order)
    return paint_in_order(label_map, given_up, painted, background=background, void=void)


def painting_order(scores: np.ndarray, areas_px: np.ndarray) -> np.ndarray:
    """Indices of N masks such that, painted one over the other, each pixel ends as :func:`resolve_overlaps` says."""
    return np.lexsort((-np.arange(len(areas_px)), -np.asarray(areas_px), np.asarray(scores)))


def paint_in_order(
    label_map: np.ndarray,
    in_regions: np.ndarray,
    regions: Iterable[tuple[int, np.ndarray]],
    *,
    background: int | None = 0,
    void: int | None = VOID,
) -> np.ndarray:
    """What :func:`paint_regions` says, with one region in memory at a time.

    Args:
        label_map: (H, W) integer, what was split.
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
