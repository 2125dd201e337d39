"""Frame-by-frame refinement of a clip with temporal consistency. Legend: N objects, H and W in pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from mmrefine.core.iou import binary_iou
from mmrefine.core.temporal import must_restart
from mmrefine.models.refiners import BaseRefiner
from mmrefine.models.video.propagation import FlowPropagator, MaskPropagator


class ClipMasks(Protocol):
    """Coarse masks of a clip, see :class:`mmrefine.files.clip_masks.ClipMasks`."""

    object_ids: list[int]

    def load(self, index: int) -> list[np.ndarray | None]:
        """Masks (H, W) bool of all objects on a frame, None for objects that are not annotated there."""


@dataclass(frozen=True)
class FrameResult:
    """The masks of one frame.

    Attributes:
        index: index of the frame.
        masks: (N, H, W) bool, the refined masks.
        scores: (N,) float in [0, 1], the refiner's estimates of their IoU.
        coarse_masks: (N, H, W) bool, the given masks, or propagated ones where none were given.
        given: (N,) bool, whether the coarse mask was given.
        restarted: (N,) bool, whether the first result contradicted the neighbouring frames, and a mask propagated from
            them was refined instead.
    """

    index: int
    masks: np.ndarray
    scores: np.ndarray
    coarse_masks: np.ndarray
    given: np.ndarray
    restarted: np.ndarray


class VideoRefiner(ABC):
    """Base class of refiners of clips, with coarse masks on some or all frames, and refined masks on every frame."""

    @abstractmethod
    def refine_clip(self, frames: Sequence[np.ndarray], masks: ClipMasks) -> Iterator[FrameResult]:
        """Refine a clip; frames are read once, in order, and only a few are kept in memory.

        Args:
            frames: frames of the clip, (H, W, 3) uint8 RGB, all of the same size.
            masks: coarse masks of the clip.

        Raises:
            OSError, ValueError: a frame or a mask cannot be read, or they do not match each other.
        """


class FramewiseVideoRefiner(VideoRefiner):
    """Refines each frame with an image refiner, and restarts from propagated masks where it contradicts its neighbours.

    Propagation can be wrong too. Therefore a result contradicts only if it differs by more than the error of the
    propagation, and the result of a restart is used only if its score is at least that of the first result.

    Without coarse masks, a frame gets the propagated result of the previous frame, so that masks of a first frame are
    tracked through the clip. This is for short clips: lost objects are not recovered.

    Args:
        refiner: refiner of single frames.
        propagator: propagates masks between neighbouring frames; None: :class:`FlowPropagator`.
        min_agreement: minimum IoU of a frame's refined mask with the propagated mask, or the reliability of the
            propagation if that is lower; 0 refines frames independently. The default was chosen on degraded masks of
            four DAVIS clips, see docs/video.md.
        min_support: minimum IoU of the propagated with the coarse mask for a restart.
        seed: random seed of the refiner, for every frame.

    Raises:
        ValueError: a minimum outside [0, 1].
    """

    def __init__(
        self,
        refiner: BaseRefiner,
        propagator: MaskPropagator | None = None,
        min_agreement: float = 0.95,
        min_support: float = 0.25,
        seed: int = 0,
    ):
        for name, value in (('min_agreement', min_agreement), ('min_support', min_support)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be an IoU in [0, 1], got {value}.')
        self.refiner = refiner
        self.propagator = propagator or FlowPropagator()
        self.min_agreement, self.min_support, self.seed = min_agreement, min_support, seed

    def refine_clip(self, frames: Sequence[np.ndarray], masks: ClipMasks) -> Iterator[FrameResult]:
        self.propagator.start_clip()
        before: FrameResult | None = None
        current: FrameResult | None = None
        for index in range(len(frames)):
            following = self._refine_frame(frames, masks, index, current)
            if current is not None:
                current = self._agree(frames, before, current, following)
                yield current
            before, current = current, following
        if current is not None:
            yield self._agree(frames, before, current, None)

    def _refine_frame(
        self, frames: Sequence[np.ndarray], masks: ClipMasks, index: int, before: FrameResult | None
    ) -> FrameResult:
        loaded = masks.load(index)
        given = np.array([mask is not None for mask in loaded], bool)
        size_hw = frames[index].shape[:2]
        if before is None or given.all():
            coarse = np.zeros((len(loaded), *size_hw), bool)
        else:
            coarse = self.propagator.propagate(frames, {before.index: before.masks}, index)
        for position in np.flatnonzero(given):
            coarse[position] = loaded[position]
        result = self._refine(frames[index], coarse)
        return FrameResult(index, result.masks, result.scores, coarse, given, np.zeros(len(loaded), bool))

    def _agree(
        self,
        frames: Sequence[np.ndarray],
        before: FrameResult | None,
        current: FrameResult,
        following: FrameResult | None,
    ) -> FrameResult:
        """Result of a frame, refined again for objects that contradict the neighbouring frames."""
        known = {item.index: item.masks for item in (before, current, following) if item is not None}
        if len(known) == 1 or not current.given.any() or self.min_agreement == 0:
            return current
        propagated = self.propagator.propagate(frames, known, current.index)
        columns = zip(current.given, current.masks, propagated, current.coarse_masks, strict=True)
        restarted = np.array(
            [given and must_restart(*trio, self.min_agreement, self.min_support) for given, *trio in columns], bool
        )
        if restarted.any():
            restarted &= binary_iou(current.masks, propagated) < self.propagator.reliability(
                frames, known, current.index
            )
        if not restarted.any():
            return current
        result = self._refine(frames[current.index], propagated[restarted])
        better = result.scores >= current.scores[restarted]
        restarted[restarted] = better
        masks, scores = current.masks.copy(), current.scores.copy()
        masks[restarted], scores[restarted] = result.masks[better], result.scores[better]
        return replace(current, masks=masks, scores=scores, restarted=restarted)

    def _refine(self, frame: np.ndarray, masks: np.ndarray):
        return self.refiner.refine(frame, masks, generator=torch.Generator().manual_seed(self.seed))
