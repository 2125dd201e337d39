"""Propagation of masks between the frames of a clip. Legend: N objects, H and W in pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from mmrefine.core.temporal import consensus, estimate_flow, forward_backward_iou, warp_mask

_FLOWS_KEPT = 4


class MaskPropagator(ABC):
    """Base class of mask propagation to a frame from other frames."""

    @abstractmethod
    def propagate(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        """Propagate masks to frame ``index``.

        Args:
            frames: frames of the clip, (H, W, 3) uint8 RGB.
            known: masks (N, H, W) bool by frame, of at least one frame other than ``index``.
            index: index of the frame.

        Returns:
            (N, H, W) bool.
        """

    def reliability(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        """Reliability (N,) of :meth:`propagate` for each object, as the IoU that its own error allows; by default 1."""
        return np.ones(len(next(iter(known.values()))))

    def start_clip(self) -> None:  # noqa: B027  (optional)
        """Reset all state; called at the start of a clip."""


class FlowPropagator(MaskPropagator):
    """Propagation by optical flow: the pixelwise majority of all frames; ties are as in the frame's own mask, if known.

    For neighbouring frames, since flow is unreliable over many frames and at occlusions.
    """

    def __init__(self):
        self._flows: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def start_clip(self) -> None:
        self._flows.clear()

    def flow(self, frames: Sequence[np.ndarray], index: int, other: int) -> np.ndarray:
        """Flow from frame ``index`` to frame ``other``, (H, W, 2); recent flows are cached."""
        key = (index, other)
        if key not in self._flows:
            self._flows[key] = estimate_flow(frames[index], frames[other])
            if len(self._flows) > _FLOWS_KEPT:
                self._flows.popitem(last=False)
        return self._flows[key]

    def propagate(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        others = [frame for frame in known if frame != index]
        flows = {frame: self.flow(frames, index, frame) for frame in others}
        own = known.get(index)
        count = len(known[others[0]])
        masks = [
            consensus([warp_mask(known[frame][k], flows[frame]) for frame in others], None if own is None else own[k])
            for k in range(count)
        ]
        return np.stack(masks) if masks else known[others[0]].copy()

    def reliability(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        """Forward-backward consistency of the flow, minimum over frames."""
        others = [frame for frame in known if frame != index]
        ious = [
            [
                forward_backward_iou(mask, self.flow(frames, index, frame), self.flow(frames, frame, index))
                for mask in known[frame]
            ]
            for frame in others
        ]
        return np.min(ious, axis=0)
