"""Metrics of video object segmentation: J and F of DAVIS, statistics over a clip, means over the objects of a dataset.

Legend: T frames of an object, H and W in pixels. Sources: DAVIS (Perazzi et al., CVPR 2016, section 5) and the 2017
evaluation toolkit; LVOS (Hong et al., ICCV 2023; v2, 2024) and its toolkit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmrefine.core.boundary import bounding_slices
from mmrefine.evaluation.functional import mask_iou

BOUND_TH = 0.008
_RECALL_THRESHOLD = 0.5
_DECAY_BINS = 4


def region_similarity(pred: np.ndarray, gt: np.ndarray) -> np.ndarray | float:
    """J of DAVIS: IoU of each frame, 1 where both masks are empty. Shapes are (T, H, W) or (H, W), bool.

    Example:
        >>> import numpy as np
        >>> gt = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]]], bool)  # the second frame is empty
        >>> region_similarity(gt, gt).tolist()
        [1.0, 1.0]
    """
    return mask_iou(pred, gt)


def contour_accuracy(pred: np.ndarray, gt: np.ndarray, bound_th: float = BOUND_TH) -> np.ndarray | float:
    """F of DAVIS: harmonic mean of precision and recall of contour pixels, matched within a tolerance.

    A contour pixel is matched if the other contour has a pixel within ``ceil(bound_th * diagonal)`` pixels. 1 where
    both masks are empty, 0 where one is.

    Args:
        pred, gt: (T, H, W) or (H, W) bool.
        bound_th: tolerance as a fraction of the image diagonal if below 1, otherwise in pixels.

    Returns:
        (T,) float64, or one float, in [0, 1].

    Raises:
        TypeError, ValueError: masks are not bool or differ in shape, or the tolerance is not positive.

    Example:
        >>> import numpy as np
        >>> gt = np.zeros((20, 20), bool)
        >>> gt[5:15, 5:15] = True
        >>> float(contour_accuracy(gt, gt)), float(contour_accuracy(np.zeros_like(gt), gt))
        (1.0, 0.0)
    """
    if not (bound_th > 0 and math.isfinite(bound_th)):
        raise ValueError(f'bound_th must be a positive fraction of the diagonal or number of pixels, got {bound_th}.')
    for name, masks in (('pred', pred), ('gt', gt)):
        if not isinstance(masks, np.ndarray) or masks.dtype != bool:
            raise TypeError(
                f'{name} must be a numpy array of bool, got {getattr(masks, "dtype", type(masks).__name__)}.'
            )
    if pred.shape != gt.shape or gt.ndim not in (2, 3):
        raise ValueError(f'pred and gt must have the same shape (T, H, W) or (H, W), got {pred.shape} and {gt.shape}.')
    if gt.ndim == 3:
        return np.array([_f_measure(p, g, bound_th) for p, g in zip(pred, gt, strict=True)], np.float64)
    return _f_measure(pred, gt, bound_th)


def contour_map(mask: np.ndarray) -> np.ndarray:
    """Contour of one pixel width: pixels that differ from their right, lower or lower right neighbour.

    Contours are therefore shifted by half a pixel towards the origin, and an object that touches the image border has
    no contour there.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask != right) | (mask != below) | (mask != diagonal)


def _f_measure(pred: np.ndarray, gt: np.ndarray, bound_th: float) -> float:
    radius_px = int(bound_th) if bound_th >= 1 else math.ceil(bound_th * math.hypot(*gt.shape))
    contours = [contour_map(pred), contour_map(gt)]
    box = bounding_slices(contours[0] | contours[1])  # there are no contour pixels outside
    contours = [contour[box] for contour in contours]
    counts = [np.count_nonzero(contour) for contour in contours]
    if 0 in counts:
        return float(counts[0] == counts[1])
    offsets = np.arange(-radius_px, radius_px + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius_px**2).astype(np.uint8)
    near = [cv2.dilate(contour.astype(np.uint8), disk) > 0 for contour in contours]
    precision = np.count_nonzero(contours[0] & near[1]) / counts[0]
    recall = np.count_nonzero(contours[1] & near[0]) / counts[1]
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@dataclass(frozen=True)
class ObjectScores:
    """J and F of one object of a clip.

    Attributes:
        clip, object_id: the clip and the object.
        j, f: (T,) values of the frames.
    """

    clip: str
    object_id: int
    j: np.ndarray
    f: np.ndarray

    @property
    def deviation(self) -> float:
        """V of LVOS: standard deviation of (J + F) / 2 over the frames."""
        return float(np.std((self.j + self.f) / 2))


def track_statistics(values: Sequence[float]) -> dict[str, float]:
    """Mean, recall and decay of a metric over the frames of a clip.

    Recall is the fraction of frames above 0.5. Decay is the mean of the first quarter minus that of the last; quarters
    share their border frames as in the toolkit, but clips of more than 256 frames do not overflow.

    Raises:
        ValueError: there is no frame.

    Example:
        >>> track_statistics([0.75, 0.75, 0.25, 0.25])
        {'mean': 0.5, 'recall': 0.5, 'decay': 0.5}
    """
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError('a clip must have at least one evaluated frame; DAVIS excludes the first and the last.')
    borders = np.round(np.linspace(1, len(values), _DECAY_BINS + 1) + 1e-10).astype(int) - 1
    first, last = values[borders[0] : borders[1] + 1], values[borders[-2] : borders[-1] + 1]
    recall = float((values > _RECALL_THRESHOLD).mean())
    return {'mean': float(values.mean()), 'recall': recall, 'decay': float(first.mean() - last.mean())}


def summarize_davis(objects: Sequence[ObjectScores]) -> dict[str, float]:
    """Scores of DAVIS, means over all objects: ``J&F``, ``J_mean``, ``J_recall``, ``J_decay``, ``F_mean``, ...

    Raises:
        ValueError: there is no object.

    Example:
        >>> import numpy as np
        >>> objects = [ObjectScores('dog', 1, j=np.array([0.5, 0.75]), f=np.array([0.75, 1.0]))]
        >>> summarize_davis(objects)['J&F']
        0.75
    """
    _check_any(objects)
    columns = {name: [track_statistics(getattr(item, name.lower())) for item in objects] for name in 'JF'}
    scores = {
        f'{name}_{key}': float(np.mean([row[key] for row in rows]))
        for name, rows in columns.items()
        for key in ('mean', 'recall', 'decay')
    }
    return {'J&F': (scores['J_mean'] + scores['F_mean']) / 2, **scores}


def summarize_lvos(objects: Sequence[ObjectScores], unseen: Collection[str] = ()) -> dict[str, float]:
    """Scores of LVOS, means over all objects, and with v2's list of unseen clips also over seen and unseen ones.

    With seen and unseen clips (v2), ``J&F`` is the mean of J and F of the two groups, which have equal weight;
    otherwise (v1) it is the mean of J and F.

    Args:
        objects: scores of all objects of all clips.
        unseen: names of clips whose categories do not occur in training.

    Raises:
        ValueError: there is no object, or one group has none.

    Example:
        >>> import numpy as np
        >>> objects = [ObjectScores('dog', 1, j=np.array([0.5, 0.75]), f=np.array([0.75, 1.0]))]
        >>> summarize_lvos(objects)
        {'J&F': 0.75, 'J': 0.625, 'F': 0.875, 'V': 0.125}
    """
    _check_any(objects)
    scores = _group_means(objects)
    if unseen:
        groups = {
            'seen': [item for item in objects if item.clip not in unseen],
            'unseen': [item for item in objects if item.clip in unseen],
        }
        for name, members in groups.items():
            if not members:
                raise ValueError(f'no clip is {name}; check that the list of unseen clips belongs to this dataset.')
            scores |= {f'{key}_{name}': value for key, value in _group_means(members).items()}
        return {'J&F': float(np.mean([scores[f'{key}_{name}'] for key in 'JF' for name in groups])), **scores}
    return {'J&F': (scores['J'] + scores['F']) / 2, **scores}


def _group_means(objects: Sequence[ObjectScores]) -> dict[str, float]:
    return {
        'J': float(np.mean([item.j.mean() for item in objects])),
        'F': float(np.mean([item.f.mean() for item in objects])),
        'V': float(np.mean([item.deviation for item in objects])),
    }


def _check_any(objects: Sequence[ObjectScores]) -> None:
    if not objects:
        raise ValueError('expected scores of at least one object, got none.')
