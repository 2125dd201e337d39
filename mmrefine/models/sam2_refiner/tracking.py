"""Mask propagation and tracking by SAM 2 or SAM2Refiner. Legend: N objects, H and W size in pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmrefine.models.sam2_refiner.video_predictor import SAM2RefinerVideoPredictor
from mmrefine.models.video.propagation import MaskPropagator
from mmrefine.models.video.video_refiner import ClipMasks, FrameResult, VideoRefiner


class SAM2Propagator(MaskPropagator):
    """Propagates masks with SAM 2, which gets the known masks as prompts; the mask of the frame itself is not used.

    Args:
        predictor: the video predictor; with ``cached_frames=3`` each frame is encoded once for all its neighbours.
    """

    def __init__(self, predictor: SAM2RefinerVideoPredictor):
        self.predictor = predictor
        self._state: dict[str, Any] | None = None

    def start_clip(self) -> None:
        self._state = None

    def propagate(self, frames: Sequence[np.ndarray], known: Mapping[int, np.ndarray], index: int) -> np.ndarray:
        if self._state is None:
            self._state = self.predictor.init_state(frames)
        self.predictor.reset_state(self._state)
        prompts = {frame: masks for frame, masks in known.items() if frame != index}
        shape = next(iter(prompts.values())).shape
        masks = np.zeros(shape, bool)
        for frame, objects in prompts.items():
            for obj_idx in np.flatnonzero(objects.any(axis=(1, 2))):
                self.predictor.add_new_mask(self._state, frame, int(obj_idx), objects[obj_idx])
        if self._state['obj_ids']:
            _, obj_idxs, logits = next(iter(self.predictor.propagate_in_video(self._state, index, 0)))
            masks[obj_idxs] = (logits[:, 0] > 0).cpu().numpy()
        return masks


class TrackingVideoRefiner(VideoRefiner):
    """Tracks objects through a clip with SAM 2, prompted with masks, clicks or boxes.

    A frame with a mask keeps it, at the input size of the model; frames with clicks are refined. The clip is streamed:
    memory does not grow with its length. Scores are predicted probabilities that the object is visible; if it is not,
    the mask is empty.

    Args:
        predictor: the video predictor; with a core it also refines.
    """

    def __init__(self, predictor: SAM2RefinerVideoPredictor):
        self.predictor = predictor

    def refine_clip(self, frames: Sequence[np.ndarray], masks: ClipMasks) -> Iterator[FrameResult]:
        """See :class:`VideoRefiner`. All masks are read before tracking starts.

        Raises:
            ValueError: all masks are empty and there are no clicks, or clicks lie outside the frames.
        """
        state = self.predictor.init_state(frames, streaming=True)
        prompts = self._prompt(state, masks, len(frames))
        clicks = getattr(masks, 'clicks', ())
        for click in clicks:
            self.predictor.add_new_points_or_box(
                state, click.frame, click.obj_idx, click.points, click.labels, box=click.box
            )
        prompted = [frame for frame, _ in prompts] + [click.frame for click in clicks]
        if not prompted:
            raise ValueError('all masks of the clip are empty: there is nothing to track.')
        count, first = len(masks.object_ids), min(prompted)
        for index in range(first):  # no object is known before the first prompt
            yield _frame_result(index, np.zeros((count, *frames[index].shape[:2]), bool), np.zeros(count), prompts)
        for index, obj_idxs, logits in self.predictor.propagate_in_video(state, first):
            refined, scores = np.zeros((count, *logits.shape[-2:]), bool), np.zeros(count)
            refined[obj_idxs] = (logits[:, 0] > 0).cpu().numpy()
            for obj_idx, output in zip(obj_idxs, state['output_dict_per_obj'].values(), strict=True):
                kinds = (output['cond_frame_outputs'], output['non_cond_frame_outputs'])
                current = next(kind[index] for kind in kinds if index in kind)
                scores[obj_idx] = float(current['object_score_logits'].sigmoid())
                if index < min(output['cond_frame_outputs']):  # the object is not prompted yet
                    refined[obj_idx], scores[obj_idx] = False, 0.0
            yield _frame_result(index, refined, scores, prompts)

    def _prompt(self, state: dict[str, Any], masks: ClipMasks, length: int) -> dict[tuple[int, int], np.ndarray]:
        """Add the given masks as prompts; returns them by frame and object."""
        prompts = {}
        for index in range(length):
            for obj_idx, mask in enumerate(masks.load(index)):
                if mask is not None and mask.any():
                    self.predictor.add_new_mask(state, index, obj_idx, mask)
                    prompts[index, obj_idx] = mask
        return prompts


def _frame_result(
    index: int, masks: np.ndarray, scores: np.ndarray, prompts: Mapping[tuple[int, int], np.ndarray]
) -> FrameResult:
    """Result of a frame; coarse masks are the prompts, or the tracked masks where there are none."""
    given = np.array([(index, obj_idx) in prompts for obj_idx in range(len(masks))], bool)
    coarse = masks.copy()
    for obj_idx in np.flatnonzero(given):
        coarse[obj_idx] = prompts[index, int(obj_idx)]
    return FrameResult(index, masks, scores.astype(np.float32), coarse, given, np.zeros(len(masks), bool))
