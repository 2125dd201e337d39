"""Refinement of clips in temporal consistency, with a plain refiner on moving squares."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch

from mmrefine.core.gate import QualityGate
from mmrefine.core.temporal import consensus
from mmrefine.models.refiners import BaseRefiner, Proposal, RefineInput
from mmrefine.models.video import FlowPropagator, FramewiseVideoRefiner, MaskPropagator

SIZE_HW = (48, 96)


def square(frame: int, side: int = 20) -> np.ndarray:
    """Where the object is: it moves by two pixels a frame."""
    mask = np.zeros(SIZE_HW, bool)
    mask[14 : 14 + side, 20 + 2 * frame : 20 + 2 * frame + side] = True
    return mask


class Frames(Sequence):
    """Frames whose grey level is their number."""

    def __init__(self, count: int):
        self.frames = [np.full((*SIZE_HW, 3), index, np.uint8) for index in range(count)]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.frames[index]


class Masks:
    """Given masks by frame and object."""

    def __init__(self, rows: list[list[np.ndarray | None]]):
        self.rows = rows
        self.object_ids = list(range(1, len(rows[0]) + 1))
        self.are_prompts = False

    def load(self, index: int) -> list[np.ndarray | None]:
        return self.rows[index]


class KnownMotion(MaskPropagator):
    """Moves masks by the known two pixels a frame; they vote as with flow."""

    def propagate(self, frames, known, index):
        moved = [np.roll(masks, 2 * (index - frame), axis=2) for frame, masks in known.items() if frame != index]
        return consensus(moved, known.get(index))


class Failing(BaseRefiner):
    """Gives masks back, but at its first try on some frames moves them away, with another score."""

    def __init__(self, bad_frames: Sequence[int] = (), bad_score: float = 0.5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.bad_frames, self.bad_score, self.calls = bad_frames, bad_score, []

    def forward(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._one(item) for item in inputs]

    def _one(self, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        frame = int(item.image[0, 0, 0])
        fails = frame in self.bad_frames and frame not in self.calls
        self.calls.append(frame)
        return np.roll(item.masks, 9 * fails, axis=2), np.full(len(item.masks), self.bad_score if fails else 0.9)


def refine(bad_frames: Sequence[int], count: int = 5, coarse: list | None = None, bad_score: float = 0.5, **kwargs):
    coarse = coarse or [square(frame) for frame in range(count)]
    refiner = Failing(bad_frames, bad_score)
    video = FramewiseVideoRefiner(refiner, KnownMotion(), **kwargs)
    return refiner, list(video.refine_clip(Frames(count), Masks([[mask] for mask in coarse])))


def test_a_frame_that_contradicts_its_neighbours_starts_again():
    refiner, results = refine([2])
    assert [item.index for item in results] == [0, 1, 2, 3, 4]
    assert [bool(item.restarted[0]) for item in results] == [False, False, True, False, False]
    assert all(np.array_equal(item.masks[0], square(item.index)) for item in results)
    assert results[2].scores[0] == pytest.approx(0.9)
    assert sorted(refiner.calls) == [0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize('bad', [0, 4])
def test_ends_of_the_clip(bad):
    """One neighbour is enough."""
    results = refine([bad])[1]
    assert results[bad].restarted[0] and np.array_equal(results[bad].masks[0], square(bad))


def test_refiner_may_think_more_of_its_first_result():
    result = refine([2], bad_score=0.95)[1][2]
    assert not result.restarted[0] and result.scores[0] == pytest.approx(0.95)
    assert np.array_equal(result.masks[0], np.roll(square(2), 9, axis=1))


@pytest.mark.parametrize('estimate', [0.8, 0.4])
def test_a_propagated_mask_that_the_gate_keeps_counts_by_its_own_estimate(estimate):
    """And not by that of the proposal which nobody took."""

    class Keeping(Failing):
        def _one(self, item: RefineInput) -> Proposal:
            masks, scores = super()._one(item)
            if self.calls.count(2) == 2 and self.calls[-1] == 2:
                return Proposal(masks, scores * 0.5, coarse_scores=np.full(len(masks), estimate))
            return Proposal(masks, scores)

    refiner = Keeping([2], bad_score=0.6)
    refiner.gate = QualityGate(min_score=0.55)
    coarse = Masks([[square(frame)] for frame in range(5)])
    result = list(FramewiseVideoRefiner(refiner, KnownMotion()).refine_clip(Frames(5), coarse))[2]
    assert bool(result.restarted[0]) == (estimate > 0.6) and result.scores[0] == pytest.approx(max(estimate, 0.6))


def test_neighbours_are_not_believed_where_propagation_is_lost():
    """The failed frame has 11 of 29 columns in common with what the neighbours say, an IoU of 0.38."""

    class Lost(KnownMotion):
        def __init__(self, kept: float):
            self.kept = kept

        def reliability(self, frames, known, index):
            return np.full(1, self.kept)

    for kept, restarted in ((0.37, False), (0.39, True)):
        video = FramewiseVideoRefiner(Failing([2]), Lost(kept))
        results = list(video.refine_clip(Frames(5), Masks([[square(frame)] for frame in range(5)])))
        assert bool(results[2].restarted[0]) == restarted


def test_frames_are_left_alone_without_agreement():
    refiner, results = refine([2], min_agreement=0)
    assert not any(item.restarted.any() for item in results) and len(refiner.calls) == 5
    assert np.array_equal(results[2].masks[0], np.roll(square(2), 9, axis=1))


def test_neighbours_are_not_believed_after_a_cut():
    """From frame 2 on the object is elsewhere, and smaller: what is carried over the cut overlaps nothing there."""
    coarse = [square(0), square(1), *(np.roll(square(frame, 8), 40, axis=1) for frame in (2, 3, 4))]
    results = refine([2], coarse=coarse)[1]
    assert not results[2].restarted[0]


def test_object_that_vanishes_and_comes_back():
    """Frames where the mask is empty stay empty."""
    coarse = [square(0), square(1), np.zeros(SIZE_HW, bool), square(3), square(4)]
    results = refine([], coarse=coarse)[1]
    assert not results[2].masks.any() and results[3].masks.any()


def test_prompts_are_followed():
    """Masks of the first frame for one object, of the second for another."""
    rows = [[square(0), None], [None, square(1, 6)], [None, None], [None, None]]
    refiner = Failing()
    results = list(FramewiseVideoRefiner(refiner, KnownMotion()).refine_clip(Frames(4), Masks(rows)))
    assert [item.given.tolist() for item in results] == [[True, False], [False, True], [False] * 2, [False] * 2]
    assert all(np.array_equal(item.masks[0], square(item.index)) for item in results)
    assert not results[0].masks[1].any()
    assert all(np.array_equal(item.masks[1], square(item.index, 6)) for item in results[1:])


def test_results_come_one_frame_behind():
    """The third frame is not read before the first result is out: memory is for a few frames."""
    masks, read = Masks([[square(frame)] for frame in range(5)]), []
    load = masks.load
    masks.load = lambda index: (read.append(index), load(index))[1]
    results = FramewiseVideoRefiner(Failing(), KnownMotion()).refine_clip(Frames(5), masks)
    next(results)
    assert read == [0, 1]


def test_single_frame_and_no_objects():
    assert np.array_equal(refine([], 1)[1][0].masks[0], square(0))
    refiner = Failing()
    results = list(FramewiseVideoRefiner(refiner).refine_clip(Frames(2), Masks([[], []])))
    assert [item.masks.shape for item in results] == [(0, *SIZE_HW)] * 2


def test_flow_votes_with_the_frame_itself_in_ties(rng):
    """Still scene: two neighbours that differ, and the frame's own mask decides."""
    frame = rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    first, second, own = square(0)[None], square(2)[None], square(0)[None]
    carried = FlowPropagator().propagate([frame] * 3, {0: first, 1: own, 2: second}, 1)
    assert np.array_equal(carried, own)
    without = FlowPropagator().propagate([frame] * 3, {0: first, 2: second}, 1)
    assert np.array_equal(without, first & second)


def test_flow_is_reliable_where_it_leads_there_and_back(rng):
    """The second frame is the first moved by two pixels; the third is another scene."""
    noise = rng.integers(0, 256, (SIZE_HW[0] // 4, SIZE_HW[1] // 4, 3), dtype=np.uint8)
    first = cv2.resize(noise, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)
    frames = [first, np.roll(first, 2, axis=1), rng.permuted(first, axis=1)]
    known = {frame: np.stack([square(0), square(3, 8)]) for frame in (0, 1, 2)}
    moved = FlowPropagator().reliability(frames[:2], {0: known[0], 1: known[1]}, 1)
    assert moved.shape == (2,) and moved.min() > 0.95
    cut = FlowPropagator().reliability(frames, known, 1)
    assert cut.max() < 0.9 and (cut < moved - 0.1).all()  # the worse of the ways


def test_bad_thresholds():
    with pytest.raises(ValueError, match='min_agreement must be an IoU'):
        FramewiseVideoRefiner(Failing(), min_agreement=1.5)
