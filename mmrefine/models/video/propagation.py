"""Propagation of masks between the frames of a clip. Legend: N objects, H and W in pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from mmrefine.core.temporal import consensus, estimate_flow, forward_backward_iou, warp_mask

_FLOWS_KEPT = 4


class MaskPropagator(ABC):
    """Interface of mask propagation to a frame from others."""

    @abstractmethod
    def propagate(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        """Masks of the same objects on frame ``index``.

        Args:
            frames: of the clip, each (H, W, 3) uint8 RGB.
            known: (N, H, W) bool by frame; ``index`` may be among them, others must.
            index: the frame.

        Returns:
            (N, H, W) bool.
        """

    def reliability(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        """Reliability (N,) of :meth:`propagate` per object, as an IoU; smaller differences are within its error.

        Without anything better: 1.
        """
        return np.ones(len(next(iter(known.values()))))

    def start_clip(self) -> None:  # noqa: B027  (most keep nothing)
        """Reset all state; called at the start of a clip."""


class FlowPropagator(MaskPropagator):
    """Propagation by optical flow, as the majority of all frames; the frame's own mask, if known, breaks ties.

    Meant for neighbouring frames: beyond a few frames, or behind things that pass, flow is lost.
    """

    def __init__(self):
        self._flows: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def start_clip(self) -> None:
        self._flows.clear()

    def flow(self, frames: Sequence[np.ndarray], index: int, other: int) -> np.ndarray:
        """Flow from frame ``index`` to frame ``other``, (H, W, 2); the last few are kept."""
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
        """Forward-backward consistency of the flow, the lower one of the frames."""
        others = [frame for frame in known if frame != index]
        ious = [
            [
                forward_backward_iou(mask, self.flow(frames, index, frame), self.flow(frames, frame, index))
                for mask in known[frame]
            ]
            for frame in others
        ]
        return np.min(ious, axis=0)
