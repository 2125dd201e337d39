"""mIoU of label maps: IoU of each label over a dataset, and their mean."""

from __future__ import annotations

import numpy as np

from mmrefine.core.regions import VOID

_NUM_LABELS = 2**16


class LabelMapScore:
    """IoU of each label over all images, and its mean (mIoU).

    Pixels that are void in either map are ignored; :attr:`labelled_share` tells how many are evaluated.

    Args:
        void: label of ignored pixels; None if there is none.
    """

    def __init__(self, void: int | None = VOID):
        self.void = void
        # Numbers of evaluated pixels with each label: in both maps, in the label map, in the ground truth.
        self._both_px, self._given_px, self._gt_px = np.zeros((3, _NUM_LABELS), np.int64)
        self._known_px = 0

    def add(self, given: np.ndarray, gt: np.ndarray) -> None:
        """Add an image.

        Args:
            given, gt: (H, W) integer label maps with labels in 0..65535.

        Raises:
            ValueError: sizes differ, or labels are out of range.
        """
        if given.shape != gt.shape:
            raise ValueError(f'label map and ground truth must have the same size, got {given.shape} and {gt.shape}.')
        known = np.ones(gt.shape, bool) if self.void is None else gt != self.void
        valid = known if self.void is None else known & (given != self.void)
        given, gt = given[valid].astype(np.int64), gt[valid].astype(np.int64)
        if given.size and not (0 <= min(given.min(), gt.min()) and max(given.max(), gt.max()) < _NUM_LABELS):
            raise ValueError(f'labels must lie in 0..{_NUM_LABELS - 1}.')
        self._known_px += np.count_nonzero(known)
        self._both_px += np.bincount(given[given == gt], minlength=_NUM_LABELS)
        self._given_px += np.bincount(given, minlength=_NUM_LABELS)
        self._gt_px += np.bincount(gt, minlength=_NUM_LABELS)

    @property
    def iou(self) -> dict[int, float]:
        """IoU of every label that occurs in either map."""
        union_px = self._given_px + self._gt_px - self._both_px
        return {int(label): float(self._both_px[label] / union_px[label]) for label in np.flatnonzero(union_px)}

    @property
    def mean_iou(self) -> float:
        """Mean of :attr:`iou`; NaN if no pixel was evaluated."""
        values = list(self.iou.values())
        return float(np.mean(values)) if values else float('nan')

    @property
    def labelled_share(self) -> float:
        """Fraction of the pixels with ground truth that are evaluated; NaN if there are none."""
        return float(self._gt_px.sum() / self._known_px) if self._known_px else float('nan')
