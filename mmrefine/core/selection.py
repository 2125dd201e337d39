"""Selection of the predicted masks that are refined. Legend: N masks of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MaskSelection:
    """Selection of masks by class, score, area and rank; empty masks are never selected.

    Args:
        classes: indices of the selected classes; None: all.
        score_thr: minimum score, if masks have scores.
        area_range: min and max area in pixels; None as maximum: no limit.
        top_k: maximum number of masks that pass the other conditions: those with the highest scores, or the largest if
            masks have no scores; ties go to the first. None: all.

    Raises:
        ValueError: an empty range, or a ``top_k`` below 1.

    Example:
        >>> import numpy as np
        >>> selection = MaskSelection(score_thr=0.5, area_range=(100, None))
        >>> areas_px, labels, scores = np.array([50, 200, 300]), np.zeros(3, int), np.array([0.9, 0.4, 0.8])
        >>> selection.select(areas_px, labels, scores).tolist()
        [False, False, True]
    """

    classes: tuple[int, ...] | None = None
    score_thr: float = 0.0
    area_range: tuple[float, float | None] = (0, None)
    top_k: int | None = None

    def __post_init__(self) -> None:
        low, high = self.area_range
        if high is not None and not low <= high:
            raise ValueError(f'area_range must be (min, max) in pixels, got ({low}, {high}).')
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f'top_k must be at least 1, or None for all masks, got {self.top_k}.')

    def select(self, areas_px: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
        """Select masks: (N,) bool.

        Args:
            areas_px: (N,) int.
            labels: (N,) int, class indices.
            scores: (N,) float.
        """
        low, high = self.area_range
        chosen = (areas_px >= max(low, 1)) & (areas_px <= (math.inf if high is None else high))
        if self.classes is not None:
            chosen &= np.isin(labels, self.classes)
        if scores is not None:
            chosen &= scores >= self.score_thr
        if self.top_k is not None:
            ranks = np.argsort(-np.asarray(areas_px if scores is None else scores, np.float64), kind='stable')
            chosen[ranks[chosen[ranks]][self.top_k :]] = False
        return chosen


def class_indices(classes: Sequence[int | str] | None, names: Sequence[str] | None) -> tuple[int, ...] | None:
    """Indices of classes given by name or index; None stays None.

    Args:
        classes: names or indices.
        names: class names of the dataset in order; None if unknown.

    Raises:
        TypeError: one class instead of a list.
        ValueError: the dataset does not have the name or index, or its class names are unknown.

    Example:
        >>> class_indices(['cat', 0], ['dog', 'cat', 'cow'])
        (1, 0)
    """
    if classes is None:
        return None
    if isinstance(classes, (str, int)):
        raise TypeError(f'classes must be a list of class names or indices, got {classes!r}; write [{classes!r}].')
    return tuple(_class_index(item, names) for item in classes)


def _class_index(item: int | str, names: Sequence[str] | None) -> int:
    if isinstance(item, str):
        if names is None:
            raise ValueError(f'class {item!r} cannot be found: the dataset has no class names; give indices.')
        if item not in names:
            raise ValueError(f'the dataset has no class {item!r}; it has {", ".join(names)}.')
        return list(names).index(item)
    if item < 0 or (names is not None and item >= len(names)):
        raise ValueError(
            f'class index {item} is out of range: '
            + (f'the dataset has {len(names)} classes, 0 to {len(names) - 1}.' if names else 'indices start at 0.')
        )
    return int(item)
