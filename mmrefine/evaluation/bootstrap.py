"""Bootstrap confidence intervals of mean gains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def paired_bootstrap(
    gains: Sequence[float] | np.ndarray,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    images: Sequence[object] | None = None,
) -> tuple[float, float]:
    """Bootstrap percentile interval of a mean gain; images are resampled with replacement.

    It is paired because gains are differences: one number per image or mask, its score after refinement minus before.

    Args:
        gains: finite numbers.
        confidence: confidence level in (0, 1).
        resamples: number of resamples.
        seed: random seed.
        images: image of each gain; masks of an image are not independent and are resampled together. None: every gain
            is an image.

    Returns:
        lower and upper end of the interval.

    Raises:
        ValueError: there are no gains, some are not finite, or another argument is invalid.

    Example:
        >>> paired_bootstrap([0.25, 0.25, 0.25])
        (0.25, 0.25)
    """
    gains = np.asarray(gains, np.float64)
    if gains.ndim != 1 or not gains.size or not np.isfinite(gains).all():
        raise ValueError(f'gains must be finite numbers, one per image, got an array of shape {gains.shape}: {gains}.')
    if not 0 < confidence < 1:
        raise ValueError(f'confidence must lie between 0 and 1, got {confidence}.')
    if images is not None and len(images) != gains.size:
        raise ValueError(f'images must have one element for each of the {gains.size} gains, got {len(images)}.')
    totals, counts = gains, np.ones(gains.size)
    if images is not None:
        _, image_of = np.unique([str(image) for image in images], return_inverse=True)
        totals, counts = np.bincount(image_of, gains), np.bincount(image_of)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for index in range(resamples):
        drawn = rng.integers(totals.size, size=totals.size)
        means[index] = totals[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
