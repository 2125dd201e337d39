"""The do-no-harm gate: take a refined mask, or keep the coarse one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class QualityGate:
    """Decides per mask on evidence that needs no ground truth.

    Args:
        min_score: least quality estimate of the refiner, in [0, 1].
        min_gain: by how much this estimate must exceed the refiner's estimate of the coarse mask, where it has one.
        min_agreement: least IoU of the refined with the coarse mask, in [0, 1].
        area_ratio: least and greatest area of the refined mask over that of the coarse one.
    """

    min_score: float = 0.0
    min_gain: float = -1.0
    min_agreement: float = 0.0
    area_ratio: tuple[float, float] = (0.0, float('inf'))

    def judge(self, coarse: np.ndarray, refined: np.ndarray, score: float, coarse_score: float = 0.0) -> str:
        """Why ``refined`` must not replace ``coarse``, or '' if it may.

        Args:
            coarse: (H, W) bool, not empty.
            refined: (H, W) bool.
            score: the refiner's quality estimate of ``refined``, in [0, 1].
            coarse_score: the same of ``coarse``.
        """
        area_px = np.count_nonzero(refined)
        if area_px == 0:
            return 'refined mask is empty'
        if not score >= self.min_score:
            return f'score {score:.2f} < {self.min_score:.2f}'
        if score - coarse_score < self.min_gain:
            return f'expected gain {score - coarse_score:+.2f} < {self.min_gain:+.2f}'
        coarse_px = np.count_nonzero(coarse)
        ratio = area_px / coarse_px
        low, high = self.area_ratio
        if not low <= ratio <= high:
            return f'area ratio {ratio:.2f} outside {low:.2f}..{high:.2f}'
        overlap_px = np.count_nonzero(coarse & refined)
        agreement = overlap_px / (area_px + coarse_px - overlap_px)
        if agreement < self.min_agreement:
            return f'IoU with coarse {agreement:.2f} < {self.min_agreement:.2f}'
        return ''
