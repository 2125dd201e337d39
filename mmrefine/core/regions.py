"""Label maps as regions, and back: split-then-merge (SAMRefiner, section 3.3), overlaps, void.

Legend: N regions, H and W in pixels. A region is one binary mask of one class.
"""

from __future__ import annotations

import cv2
import numpy as np

from mmrefine.core.prompts.distance import tight_box

VOID = 255


def split_label_map(
    label_map: np.ndarray,
    *,
    background: int | None = 0,
    void: int | None = VOID,
    min_area_px: int = 5,
    merge: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Regions of a label map: per class its 8-connected components, small ones dropped, close ones merged.

    A class of a single component keeps it, however small it is. Classes come in ascending order, regions within a class
    in the order of OpenCV's component labels.

    Args:
        label_map: (H, W) integer.
        background: a label that is no object, or None.
        void: the label of pixels that are not to be judged, or None.
        min_area_px: components below this area are dropped; their pixels belong to no region.
        merge: see :func:`merge_regions`.

    Returns:
        masks (N, H, W) bool and labels (N,) int64.

    Raises:
        TypeError, ValueError: not an integer array, or not (H, W).
    """
    label_map = _check_label_map(label_map)
    masks, labels = [], []
    for label in np.unique(label_map):
        if label in (background, void):
            continue
        _, components = cv2.connectedComponents((label_map == label).astype(np.uint8), connectivity=8)
        regions = regions_of_components(components, min_area_px, merge)
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
    """Join parts of what is probably one object, until no two are left that belong together.

    Regions of m1 and m2 pixels whose boxes B1 and B2 have the hull B belong together where |B1| + |B2| > 0.5 |B| and
    (m1 + m2) / |B| > min(0.5, min(m1 / |B1|, m2 / |B2|) - 0.1). Sides of boxes are differences of inclusive indices, as
    the paper's numbers were made; so a row of pixels has a box of area 0, and two on one line always belong together.
    The first pair in order is joined first, in the place of its first region.

    Args:
        regions: (H, W) bool, none of them empty.
    """
    regions = list(regions)
    boxes = np.array([tight_box(region) for region in regions], np.float64).reshape(-1, 4)
    areas_px = np.array([np.count_nonzero(region) for region in regions], np.float64)
    while len(regions) > 1:
        pairs = np.argwhere(np.triu(_belong_together(boxes, areas_px), k=1))
        if not len(pairs):
            break
        first, second = pairs[0]
        regions[first] = regions[first] | regions.pop(second)
        areas_px[first] += areas_px[second]
        boxes[first] = np.hstack([np.minimum(boxes[first], boxes[second])[:2], np.maximum(*boxes[[first, second]])[2:]])
        boxes, areas_px = np.delete(boxes, second, axis=0), np.delete(areas_px, second)
    return regions


def _belong_together(boxes: np.ndarray, areas_px: np.ndarray) -> np.ndarray:
    """The criterion of :func:`merge_regions` for all pairs, (N, N) bool."""
    box_areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    low = np.minimum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:])
    hull = (high - low).prod(axis=2)
    with np.errstate(divide='ignore', invalid='ignore'):
        density = areas_px / box_areas
        together = (areas_px[:, None] + areas_px) / hull
    dense = together > np.minimum(0.5, np.minimum(density[:, None], density) - 0.1)
    return (hull == 0) | ((box_areas[:, None] + box_areas > 0.5 * hull) & dense)


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
