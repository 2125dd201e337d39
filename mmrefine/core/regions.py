"""Label maps as regions, and back: split-then-merge (SAMRefiner, section 3.3), overlaps, void.

Legend: N regions, H and W in pixels. A region is one binary mask of one class.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from mmrefine.core.prompts.distance import tight_box

VOID = 255
SPLITS = ('merged', 'components', 'classes')


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
        background: a label that is no object, or None.
        void: the label of pixels that are not to be judged, or None.
        min_area_px: components below this area are dropped; their pixels belong to no region.
        split: 'merged', see :func:`merge_regions`; 'components', without merging; or 'classes', one region per class.

    Returns:
        masks (N, H, W) bool and labels (N,) int64.

    Raises:
        TypeError, ValueError: not an integer array, not (H, W), or another ``split``.
    """
    label_map = _check_label_map(label_map)
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}.')
    masks, labels = [], []
    for label in np.unique(label_map):
        if label in (background, void):
            continue
        regions = [label_map == label]
        if split != 'classes':
            _, components = cv2.connectedComponents(regions[0].astype(np.uint8), connectivity=8)
            regions = regions_of_components(components, min_area_px, merge=split == 'merged')
        masks.extend(regions)
        labels.extend([label] * len(regions))
    return np.array(masks, bool).reshape(-1, *label_map.shape), np.array(labels, np.int64)


def regions_of_components(components: np.ndarray, min_area_px: int = 5, merge: bool = True) -> list[np.ndarray]:
    """Masks of numbered components (H, W), 0 being none; see :func:`split_label_map`."""
    regions = [components == number for number in range(1, int(components.max()) + 1)]
    if len(regions) > 1:
        regions = [region for region in regions if np.count_nonzero(region) >= min_area_px]
    return merge_regions(regions) if merge else regions


def merge_regions(regions: list[np.ndarray]) -> list[np.ndarray]:
    """Join parts of what is probably one object, in one pass.

    Every region in turn takes in those after it that belong to it, and is judged as it has grown; it is not compared
    again with those that it left. Regions of m1 and m2 pixels whose boxes B1 and B2 have the hull B belong together
    where |B1| + |B2| > 0.5 |B| and (m1 + m2) / |B| > min(0.5, min(m1 / |B1|, m2 / |B2|) - 0.1). Sides of B1 and B2
    count their pixels, those of B are differences of pixel indices, as the paper's numbers were made; so a hull one
    pixel high has the area 0, and two regions on one line always belong together.

    Args:
        regions: (H, W) bool, none of them empty.
    """
    merged = []
    waiting = [_Region(region, np.array(tight_box(region)), np.count_nonzero(region)) for region in regions]
    while waiting:
        grown, *others = waiting
        waiting = []
        for other in others:
            if _belong_together(grown, other):
                grown = _Region(
                    grown.mask | other.mask, _hull(grown.box_xyxy, other.box_xyxy), grown.area_px + other.area_px
                )
            else:
                waiting.append(other)
        merged.append(grown.mask)
    return merged


class _Region(NamedTuple):
    """A mask (H, W) bool, its box of inclusive indices (4,), and its number of pixels."""

    mask: np.ndarray
    box_xyxy: np.ndarray
    area_px: int

    @property
    def box_area_px(self) -> int:
        return int((self.box_xyxy[2:] - self.box_xyxy[:2] + 1).prod())


def _hull(box: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.hstack([np.minimum(box, other)[:2], np.maximum(box, other)[2:]])


def _belong_together(region: _Region, other: _Region) -> bool:
    """The criterion of :func:`merge_regions`."""
    hull = _hull(region.box_xyxy, other.box_xyxy)
    hull_area = int((hull[2:] - hull[:2]).prod())
    if hull_area == 0:
        return True
    fill = min(region.area_px / region.box_area_px, other.area_px / other.box_area_px)
    is_near = region.box_area_px + other.box_area_px > 0.5 * hull_area
    return is_near and (region.area_px + other.area_px) / hull_area > min(0.5, fill - 0.1)


def resolve_overlaps(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Who owns each pixel: the mask of the highest score; of equal scores the smaller mask; else the earlier one.

    Args:
        masks: (N, H, W) bool.
        scores: (N,) float.

    Returns:
        (H, W) int64, the index of the owner, -1 where there is none.
    """
    owner = np.full(masks.shape[1:], -1, np.int64)
    areas_px = np.count_nonzero(masks, axis=(1, 2))
    for index in np.lexsort((-np.arange(len(masks)), -areas_px, np.asarray(scores))):
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
    painted = label_map.copy()
    if background is not None:
        painted[coarse.any(axis=0)] = background
    owner = resolve_overlaps(refined, scores)
    claimed = owner >= 0
    painted[claimed] = np.asarray(labels)[owner[claimed]]
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
