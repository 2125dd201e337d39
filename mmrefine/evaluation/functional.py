"""Mask metrics: IoU, boundary IoU, mBA. Legend: N masks, H and W the size of the image in pixels.

Every metric takes ``pred`` and ``gt`` of the same shape, (N, H, W) or (H, W), bool (or any dtype that
:func:`mmrefine.core.checks.binarize` accepts), and returns (N,) float64 or one float, in [0, 1] or NaN:

============ ================== ============= =======================
metric       both masks empty   one is empty  ``gt`` fills the image
============ ================== ============= =======================
IoU          1                  0             as usual
boundary IoU 1                  0             as usual
mBA          NaN                NaN if ``gt`` NaN: there is no boundary
============ ================== ============= =======================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mmrefine.core.boundary import band_width, boundary_band, boundary_ring, bounding_slices, mba_radii
from mmrefine.core.checks import binarize
from mmrefine.core.iou import binary_iou


def mask_overlap(pred: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of pixels of intersection and union, each (N,) int64, or 0-dimensional for a single pair.

    Their sums over a dataset give the pooled IoU, which CascadePSP and SegRefiner report for BIG.

    Example:
        >>> import numpy as np
        >>> pred = np.array([[1, 1, 0, 0]], bool)
        >>> gt = np.array([[0, 1, 1, 1]], bool)
        >>> [int(count) for count in mask_overlap(pred, gt)]
        [1, 4]
    """
    pred, gt = _check_pair(pred, gt)
    return np.count_nonzero(pred & gt, axis=(-2, -1)), np.count_nonzero(pred | gt, axis=(-2, -1))


def mask_iou(pred: np.ndarray, gt: np.ndarray) -> np.ndarray | float:
    """IoU of each mask; 1 where both masks are empty (the code of HQ-SAM returns NaN).

    Example:
        >>> import numpy as np
        >>> pred = np.array([[1, 1, 0, 0]], bool)
        >>> gt = np.array([[1, 1, 1, 1]], bool)
        >>> float(mask_iou(pred, gt))
        0.5
        >>> mask_iou(np.stack([pred, gt]), np.stack([gt, gt])).tolist()
        [0.5, 1.0]
    """
    return _per_mask(binary_iou, pred, gt)


def boundary_iou(pred: np.ndarray, gt: np.ndarray, dilation_ratio: float = 0.02) -> np.ndarray | float:
    """Boundary IoU (Cheng et al., CVPR 2021): IoU of the inner boundary bands; 1 where both masks are empty.

    Args:
        pred, gt: (N, H, W) or (H, W) bool.
        dilation_ratio: width of the band as a fraction of the image diagonal; 0.02 for COCO, 0.005 for Cityscapes.

    Example:
        >>> import numpy as np
        >>> gt = np.zeros((20, 20), bool)
        >>> gt[5:15, 5:15] = True
        >>> float(boundary_iou(gt, gt))
        1.0
        >>> shifted = np.roll(gt, 1, axis=1)
        >>> float(boundary_iou(shifted, gt)) < float(mask_iou(shifted, gt))
        True
    """
    intersection_px, union_px = boundary_overlap(pred, gt, dilation_ratio)
    values = np.divide(intersection_px, union_px, out=np.ones(np.shape(union_px)), where=union_px > 0)
    return values if values.ndim else float(values)


def boundary_overlap(pred: np.ndarray, gt: np.ndarray, dilation_ratio: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of pixels of intersection and union of boundary bands; shapes as in :func:`mask_overlap`.

    Args:
        pred, gt, dilation_ratio: see :func:`boundary_iou`.

    Example:
        >>> import numpy as np
        >>> gt = np.zeros((20, 20), bool)
        >>> gt[5:15, 5:15] = True
        >>> [int(count) for count in boundary_overlap(gt, gt)]  # a band of one pixel
        [36, 36]
    """
    pred, gt = _check_pair(pred, gt)
    if gt.ndim == 2:
        return tuple(counts[0] for counts in boundary_overlap(pred[None], gt[None], dilation_ratio))
    width_px = band_width(gt.shape[1:], dilation_ratio)
    counts = np.zeros((2, len(gt)), np.int64)
    for k, (pred_mask, gt_mask) in enumerate(zip(pred, gt, strict=True)):
        box = bounding_slices(pred_mask | gt_mask)  # both are empty outside, so the bands are the same
        if gt_mask[box].size:
            first, second = boundary_band(pred_mask[box], width_px), boundary_band(gt_mask[box], width_px)
            counts[:, k] = np.count_nonzero(first & second), np.count_nonzero(first | second)
    return counts[0], counts[1]


def mean_boundary_accuracy(pred: np.ndarray, gt: np.ndarray) -> np.ndarray | float:
    """Mean boundary accuracy (mBA): fraction of correct pixels near the ground-truth boundary, mean over five radii.

    Source: CascadePSP (Cheng et al., CVPR 2020), with the radii of :func:`mmrefine.core.boundary.mba_radii`.
    NaN where the ground truth has no boundary because it is empty or fills the image.

    Example:
        >>> import numpy as np
        >>> gt = np.zeros((20, 20), bool)
        >>> gt[5:15, 5:15] = True
        >>> float(mean_boundary_accuracy(gt, gt))
        1.0
    """
    return _per_mask(_mba, pred, gt)


def label_boundary_accuracy(pred: np.ndarray, gt: np.ndarray, ignore_label: int | None = None) -> float:
    """mBA of a label map: near the boundaries of all classes, without pixels that are void in the ground truth.

    The code released with CascadePSP subtracts void pixels from the number of correct pixels whether or not the
    prediction is void there, so that its value depends on predictions in void. Here void pixels are ignored.

    Args:
        pred, gt: (H, W) integer label maps.
        ignore_label: void label of ``gt``; boundaries between void and other labels count.

    Returns:
        accuracy in [0, 1]; NaN if there is no boundary.

    Raises:
        TypeError, ValueError: the label maps are not integer, or their shapes differ.

    Example:
        >>> import numpy as np
        >>> gt = np.repeat([[0, 1, 2]], 9, axis=0).repeat(3, axis=1)
        >>> label_boundary_accuracy(gt, gt), label_boundary_accuracy(gt + 1, gt)
        (1.0, 0.0)
    """
    for name, labels in (('pred', pred), ('gt', gt)):
        if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
            kind = getattr(labels, 'dtype', type(labels).__name__)
            raise TypeError(f'{name} must be an integer numpy array, got {kind}.')
    if pred.shape != gt.shape or gt.ndim != 2:
        raise ValueError(f'pred and gt must be label maps of the same shape (H, W), got {pred.shape} and {gt.shape}.')
    valid = np.ones(gt.shape, bool) if ignore_label is None else gt != ignore_label
    return _mean_share(pred == gt, lambda radius_px: boundary_ring(gt, radius_px) & valid, mba_radii(gt.shape))


MASK_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray | float]] = {
    'iou': mask_iou,
    'boundary_iou': boundary_iou,
    'mba': mean_boundary_accuracy,
}
_POOLED = {'iou': ('union_px', mask_overlap), 'boundary_iou': ('boundary_union_px', boundary_overlap)}
POOLING_WEIGHTS = {name: weight for name, (weight, _) in _POOLED.items()}
"""Metrics that can be pooled over a dataset (sum of intersections over sum of unions), and the names of their weights.
"""


def evaluate_masks(
    pred: np.ndarray, gt: np.ndarray, metrics: Sequence[str] = tuple(MASK_METRICS)
) -> dict[str, np.ndarray]:
    """Several metrics of N masks, as input of :func:`mmrefine.evaluation.summarize_refinement`.

    Args:
        pred, gt: (N, H, W) bool, or (H, W) for N = 1.
        metrics: names from ``MASK_METRICS``.

    Returns:
        (N,) float64 for each name; with ``'iou'`` also ``'union_px'`` and with ``'boundary_iou'`` also
        ``'boundary_union_px'``, the weights of masks in pooled metrics.

    Raises:
        TypeError, ValueError: an unknown metric, invalid masks, or masks of different shapes.

    Example:
        >>> import numpy as np
        >>> pred = np.array([[1, 1, 0, 0]], bool)
        >>> gt = np.array([[0, 1, 1, 1]], bool)
        >>> {name: values.tolist() for name, values in evaluate_masks(pred, gt, ['iou']).items()}
        {'iou': [0.25], 'union_px': [4.0]}
    """
    check_metrics(metrics)
    pred, gt = _check_pair(pred, gt)
    values = {name: np.atleast_1d(MASK_METRICS[name](pred, gt)) for name in metrics}
    for name, (weight, overlap) in _POOLED.items():
        if name in values:
            values[weight] = np.atleast_1d(overlap(pred, gt)[1]).astype(np.float64)
    return values


def check_metrics(metrics: Sequence[str]) -> None:
    """Check names of metrics.

    Raises:
        ValueError: a name is unknown, or there is none.
    """
    unknown = [name for name in metrics if name not in MASK_METRICS]
    if unknown or not metrics or isinstance(metrics, str):
        raise ValueError(f'metrics must be a list of names from {list(MASK_METRICS)}, got {metrics!r}.')


def _check_pair(pred: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for name, masks in (('pred', pred), ('gt', gt)):
        if not isinstance(masks, np.ndarray):
            raise TypeError(f'{name} must be a numpy array of bool, got {type(masks).__name__}.')
    if pred.shape != gt.shape:
        raise ValueError(f'pred and gt must have the same shape, got {pred.shape} and {gt.shape}.')
    if gt.ndim not in (2, 3):
        raise ValueError(f'masks must have shape (N, H, W) or (H, W), got {gt.shape}.')
    return binarize(pred), binarize(gt)


def _per_mask(metric: Callable[[np.ndarray, np.ndarray], float], pred: np.ndarray, gt: np.ndarray):
    pred, gt = _check_pair(pred, gt)
    if gt.ndim == 2:
        return metric(pred, gt)
    return np.array([metric(p, g) for p, g in zip(pred, gt, strict=True)], dtype=np.float64)


def _mba(pred: np.ndarray, gt: np.ndarray) -> float:
    radii = mba_radii(gt.shape)
    box = bounding_slices(gt, margin_px=radii[-1])  # the rings reach no farther
    pred, gt = pred[box], gt[box]
    return _mean_share(pred == gt, lambda radius_px: boundary_ring(gt, radius_px), radii) if gt.size else float('nan')


def _mean_share(correct: np.ndarray, ring: Callable[[int], np.ndarray], radii: Iterable[int]) -> float:
    """Mean over radii of the fraction of correct pixels in the ring; NaN if a ring is empty."""
    shares = {}
    for radius_px in radii:
        if radius_px not in shares:  # in small images radii coincide
            in_ring = correct[ring(radius_px)]
            shares[radius_px] = in_ring.mean() if in_ring.size else float('nan')
    return float(np.mean([shares[radius_px] for radius_px in radii]))
