"""Result of a refiner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class RefineResult:
    """Refined masks of one image, in the order of the coarse masks.

    Legend: N masks, H and W the size of the image in pixels.

    Attributes:
        masks: (N, H, W) bool, the proposals where ``accepted``, else the coarse masks.
        scores: (N,) float32 in [0, 1], the refiner's estimate of the IoU of ``masks`` with the ground truth:
            ``proposal_scores`` where ``accepted``, else ``coarse_scores``.
        accepted: (N,) bool, the gate's decisions: False where the coarse mask was kept.
        coarse_masks: (N, H, W) bool, the input masks.
        reasons: N strings: why the coarse mask was kept, '' where the proposal was accepted.
        proposals: (N, H, W) bool, the refiner's proposals, accepted or not; default: ``masks``.
        proposal_scores: (N,) float32 in [0, 1], the refiner's estimate of their IoU; default: ``scores``.
        coarse_scores: (N,) float32 in [0, 1], the refiner's estimate of the IoU of the coarse masks; if it rates none,
            the proposal's score times the IoU of the two; 0 for empty masks. Default: ``scores``.
        features: features of the gate, (N,) float64 by name, see :mod:`mmrefine.core.gate`; NaN for masks that the
            refiner did not process.
    """

    masks: np.ndarray
    scores: np.ndarray
    accepted: np.ndarray
    coarse_masks: np.ndarray
    reasons: tuple[str, ...]
    proposals: np.ndarray = None  # type: ignore[assignment]  # set in __post_init__
    proposal_scores: np.ndarray = None  # type: ignore[assignment]
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    coarse_scores: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        defaults = {'proposals': self.masks, 'proposal_scores': self.scores, 'coarse_scores': self.scores}
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def changed_px(self) -> np.ndarray:
        """(N,) int64: number of pixels in which each mask differs from its coarse mask."""
        return np.count_nonzero(self.masks != self.coarse_masks, axis=(1, 2))
