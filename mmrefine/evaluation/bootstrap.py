"""How far a mean gain may be chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def paired_bootstrap(
    gains: Sequence[float] | np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile confidence interval of the mean gain over images, which are drawn with replacement.

    The pairing is in the gains: one number per image, its score after less its score before.

    Args:
        gains: one per image, finite.
        confidence: in (0, 1).
        resamples: how many times the images are drawn.
        seed: of the draws.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: there are no gains, some are not finite, or ``confidence`` is out of range.
    """
    gains = np.asarray(gains, np.float64)
    if gains.ndim != 1 or not gains.size or not np.isfinite(gains).all():
        raise ValueError(f'gains must be finite numbers, one per image, got an array of shape {gains.shape}: {gains}.')
    if not 0 < confidence < 1:
        raise ValueError(f'confidence must lie between 0 and 1, got {confidence}.')
    rng = np.random.default_rng(seed)
    means = [gains[rng.integers(gains.size, size=gains.size)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
