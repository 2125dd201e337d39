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
        masks: (N, H, W) bool; where ``accepted`` is False these are the coarse masks.
        scores: (N,) float32 in [0, 1], the refiner's own estimate of the quality of what is in ``masks``, as IoU with
            the ground truth. Where it has no estimate of a coarse mask that was kept, the proposal's score times the
            IoU of the two; 0 for empty masks.
        accepted: (N,) bool, what the gate decided: True, the proposal; False, the coarse mask was kept.
        coarse_masks: (N, H, W) bool, the masks that were given.
        reasons: N short texts: why the coarse mask was kept, '' where the proposal was accepted.
        proposals: (N, H, W) bool, what the refiner proposed, accepted or not; default: ``masks``.
        proposal_scores: (N,) float32 in [0, 1], its estimate of their quality; default: ``scores``.
        features: what the gate saw of each mask, (N,) float64 by name, see :mod:`mmrefine.core.gate`; NaN for masks
            that the refiner did not process.
    """

    masks: np.ndarray
    scores: np.ndarray
    accepted: np.ndarray
    coarse_masks: np.ndarray
    reasons: tuple[str, ...]
    proposals: np.ndarray = None  # type: ignore[assignment]  # set in __post_init__
    proposal_scores: np.ndarray = None  # type: ignore[assignment]
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.proposals is None:
            object.__setattr__(self, 'proposals', self.masks)
        if self.proposal_scores is None:
            object.__setattr__(self, 'proposal_scores', self.scores)

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def changed_px(self) -> np.ndarray:
        """(N,) int64: how many pixels of each mask differ from the coarse one."""
        return np.count_nonzero(self.masks != self.coarse_masks, axis=(1, 2))
