"""Selection of pseudo labels among refined predictions. Legend: N predictions of one or several images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PseudoLabelFilter:
    """Filter that sorts predictions into pseudo labels, ignored objects and background.

    A pseudo label passes the four minima. Other predictions with a confidence of at least ``ignore_score`` are ignored
    objects: training should take them neither for objects nor for background.

    Args:
        min_score: minimum confidence of the detector, in [0, 1].
        min_quality: minimum quality estimate of the refiner, in [0, 1].
        min_agreement: minimum IoU of the refined with the coarse mask, in [0, 1]; it is 1 where the gate kept the
            coarse mask.
        min_area_px: minimum area of the refined mask in pixels.
        ignore_score: minimum confidence of ignored objects; None: no objects are ignored.

    Raises:
        ValueError: a threshold outside [0, 1], or ``ignore_score`` above ``min_score``.
    """

    min_score: float = 0.7
    min_quality: float = 0.5
    min_agreement: float = 0.5
    min_area_px: int = 16
    ignore_score: float | None = None

    def __post_init__(self) -> None:
        for name in ('min_score', 'min_quality', 'min_agreement', 'ignore_score'):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}.')
        if self.ignore_score is not None and self.ignore_score > self.min_score:
            raise ValueError(f'ignore_score {self.ignore_score} must not exceed min_score {self.min_score}.')

    def sort(
        self, scores: np.ndarray, qualities: np.ndarray, agreements: np.ndarray, areas_px: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two disjoint (N,) bool arrays, pseudo labels and ignored objects, from four (N,) arrays."""
        labels = (
            (scores >= self.min_score)
            & (qualities >= self.min_quality)
            & (agreements >= self.min_agreement)
            & (areas_px >= max(self.min_area_px, 1))
        )
        ignored = np.zeros(len(labels), bool) if self.ignore_score is None else scores >= self.ignore_score
        return labels, ignored & ~labels & (areas_px > 0)
