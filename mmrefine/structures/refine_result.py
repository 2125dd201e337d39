"""The answer of every refiner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RefineResult:
    """Refined masks of one image, in the order in which the coarse masks came.

    Legend: N masks, H and W the size of the image in pixels.

    Attributes:
        masks: (N, H, W) bool; where ``accepted`` is False these are the coarse masks.
        scores: (N,) float32 in [0, 1], the refiner's own estimate of the quality of its proposal.
        accepted: (N,) bool, what the gate decided: True, the proposal; False, the coarse mask was kept.
        coarse_masks: (N, H, W) bool, the masks that were given.
        reasons: N short texts: why the coarse mask was kept, '' where the proposal was accepted.
    """

    masks: np.ndarray
    scores: np.ndarray
    accepted: np.ndarray
    coarse_masks: np.ndarray
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def changed_px(self) -> np.ndarray:
        """(N,) int64: how many pixels of each mask differ from the coarse one."""
        return np.count_nonzero(self.masks != self.coarse_masks, axis=(1, 2))
