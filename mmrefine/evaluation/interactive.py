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
    """Simulated user prompt for an object: its tight box, or clicks on it.

    Clicks are drawn evenly from the pixels of the object, as HQ-SAM (NeurIPS 2023) evaluates. They follow from
    ``seed``, ``name`` and the mask alone, and few clicks are the first of many: scores then differ by the number of
    clicks, not by luck.

    Args:
        mask: (H, W) bool, the ground truth.
        prompt: 'box', or how many clicks.
        seed: of the evaluation.
        name: of the image (and of the object, if it has several).

    Returns:
        points (P, 2) float32, and labels (P,) int32: 1 for clicks; 2 and 3 for the first and last pixel of a box, which
        is how SAM 2 takes boxes.

    Raises:
        ValueError: the mask is empty, or there is no such prompt.

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
    """The plain mean over datasets of each score, as HQ-SAM and SAM2Refiner report it; numbers of masks are added.

    Args:
        summaries: of each set, as :func:`mmrefine.evaluation.summarize_refinement` returns them.

    Raises:
        ValueError: there is no set.

    Example:
        >>> mean_of_sets({'DIS': {'iou': 0.5, 'num_masks': 2}, 'COIFT': {'iou': 0.75, 'num_masks': 3}})
        {'iou': 0.625, 'num_masks': 5}
    """
    if not summaries:
        raise ValueError('summaries must hold at least one dataset, got none.')
    sets = list(summaries.values())
    means = {key: float(np.mean([scores[key] for scores in sets])) for key in sets[0]}
    return {**means, 'num_masks': sum(scores['num_masks'] for scores in sets)}
