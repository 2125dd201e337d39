"""Evaluation of interactive segmentation: simulated prompts, and means over datasets.

Legend: H and W the size of an image in pixels, P points. Points are (x, y) pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from mmrefine.core.crops import mask_boxes

BOX = 'box'
_CORNER_LABELS = (2, 3)
_POSITIVE = 1


def simulated_prompt(mask: np.ndarray, prompt: str | int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a user prompt for an object: its tight box, or clicks on it.

    Clicks are uniformly distributed over the object, as in the evaluation of HQ-SAM (NeurIPS 2023). They depend only on
    ``seed``, ``name`` and the mask. n clicks are the first n of any larger number, so that scores for different numbers
    of clicks are comparable.

    Args:
        mask: (H, W) bool, the ground truth.
        prompt: 'box', or the number of clicks.
        seed: seed of the evaluation.
        name: name of the image (and of the object, if there are several).

    Returns:
        points (P, 2) float32, and labels (P,) int32: 1 for clicks; 2 and 3 for the first and last pixel of a box, as
        in SAM 2.

    Raises:
        ValueError: the mask is empty, or the prompt is unknown.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((6, 8), bool)
        >>> mask[1:5, 2:7] = True
        >>> points, labels = simulated_prompt(mask, 'box', seed=0, name='dog.jpg')
        >>> points.tolist(), labels.tolist()
        ([[2.0, 1.0], [6.0, 4.0]], [2, 3])
    """
    if mask.ndim != 2 or mask.dtype != bool or not mask.any():
        shown = f'{mask.dtype} of shape {mask.shape}' if mask.ndim != 2 or mask.dtype != bool else 'an empty one'
        raise ValueError(f'a prompt needs an object: expected a (H, W) bool mask with foreground, got {shown}.')
    if prompt == BOX:
        corners = mask_boxes(mask[None])[0] - (0, 0, 1, 1)
        return corners.reshape(2, 2).astype(np.float32), np.array(_CORNER_LABELS, np.int32)
    if isinstance(prompt, bool) or not isinstance(prompt, int) or prompt < 1:
        raise ValueError(f"prompt must be 'box' or a number of clicks from 1, got {prompt!r}.")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows, columns = np.nonzero(mask)
    chosen = rng.integers(len(rows), size=prompt)
    points = np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float32)
    return points, np.full(prompt, _POSITIVE, np.int32)


def mean_of_sets(summaries: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Unweighted mean of each score over datasets, as reported by HQ-SAM and SAM2Refiner; ``num_masks`` is summed.

    Args:
        summaries: summary of each dataset, see :func:`mmrefine.evaluation.summarize_refinement`.

    Raises:
        ValueError: there is no dataset.

    Example:
        >>> mean_of_sets({'DIS': {'iou': 0.5, 'num_masks': 2}, 'COIFT': {'iou': 0.75, 'num_masks': 3}})
        {'iou': 0.625, 'num_masks': 5}
    """
    if not summaries:
        raise ValueError('summaries must contain at least one dataset, got none.')
    sets = list(summaries.values())
    means = {key: float(np.mean([scores[key] for scores in sets])) for key in sets[0]}
    return {**means, 'num_masks': sum(scores['num_masks'] for scores in sets)}
