"""SAM 2's video predictor for long videos: reads frames on demand, checks prompts, and limits memory.

Imports sam2, unlike the other modules. Legend: P points, S input size, H and W size of the video in pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmrefine.core.checks import IMAGENET_MEAN, IMAGENET_STD
from mmrefine.utils import require

sam2_video = require('sam2.sam2_video_predictor', 'pip install "mmrefine[sam2]"', 'SAM2RefinerVideoPredictor')


class InputFrames:
    """Sequence of frames as model inputs, loaded on demand and resized as in sam2.

    Args:
        frames: (H, W, 3) uint8 RGB each.
        side: S.
    """

    def __init__(self, frames: Sequence[np.ndarray], side: int):
        self.frames, self.side = frames, side

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Tensor:
        """(3, S, S) float32, normalized."""
        pixels = np.asarray(Image.fromarray(self.frames[index]).resize((self.side, self.side)))
        pixels = torch.from_numpy(pixels / 255.0).permute(2, 0, 1).float()
        return (pixels - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]


class StreamingVideoPredictor(sam2_video.SAM2VideoPredictor):
    """SAM 2's video predictor, which reads frames on demand and can drop old outputs.

    The interface is sam2's: ``init_state``, ``add_new_points_or_box``, ``add_new_mask``, ``propagate_in_video``,
    ``remove_object``, ``reset_state``. Invalid prompts raise errors.

    Args:
        cached_frames: number of frames whose features are kept; more than one is useful if frames are revisited.
        kwargs: keyword arguments of sam2's predictor.

    Raises:
        ValueError: ``cached_frames`` is less than 1, or an option of sam2 is not supported.
    """

    def __init__(self, *, cached_frames: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        if self.clear_non_cond_mem_around_input:
            raise ValueError('clear_non_cond_mem_around_input does not work in sam2 1.1; leave it off.')
        if cached_frames < 1:
            raise ValueError(f'cached_frames must be at least 1, got {cached_frames}.')
        self.cached_frames = cached_frames

    @torch.inference_mode()
    def init_state(
        self, video_path: str | Sequence[np.ndarray], offload_state_to_cpu: bool = False, streaming: bool = False
    ) -> dict[str, Any]:
        """Start tracking in a video.

        Args:
            video_path: a folder of frames, a video file, or a sequence of (H, W, 3) uint8 RGB frames, such as
                :class:`~mmrefine.files.video_frames.VideoFrames`.
            offload_state_to_cpu: keep memories and masks on the CPU.
            streaming: drop outputs that no later frame attends to, so that memory does not grow with the video. Dropped
                frames cannot be corrected any more.

        Raises:
            OSError, ValueError: the video cannot be read.
        """
        frames = video_path
        if isinstance(frames, (str, bytes)) or hasattr(frames, '__fspath__'):
            # Imported here, since models read files only for sam2's interface, which takes a path.
            from mmrefine.files.video_frames import open_frames

            frames = open_frames(frames)
        if not len(frames):
            raise ValueError('the video has no frames.')
        height, width = frames[0].shape[:2]
        state: dict[str, Any] = {
            'images': InputFrames(frames, self.image_size),
            'num_frames': len(frames),
            'offload_video_to_cpu': True,
            'offload_state_to_cpu': offload_state_to_cpu,
            'video_height': height,
            'video_width': width,
            'device': self.device,
            'storage_device': torch.device('cpu') if offload_state_to_cpu else self.device,
            'cached_features': {},
            'constants': {},
            'obj_id_to_idx': OrderedDict(),
            'obj_idx_to_id': OrderedDict(),
            'obj_ids': [],
            'streaming': streaming,
        }
        per_object = ('point_inputs', 'mask_inputs', 'output_dict', 'temp_output_dict', 'frames_tracked')
        return state | {f'{name}_per_obj': {} for name in per_object}

    def add_new_points_or_box(
        self,
        inference_state: dict[str, Any],
        frame_idx: int,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> tuple[int, list, Tensor]:
        """Like the method of sam2, with checked prompts.

        Args:
            points: (P, 2), (x, y) in pixels of the video.
            labels: (P,), 1 positive, 0 negative.
            box: (4,) xyxy.

        Raises:
            ValueError: the frame does not exist or was dropped, points or the box lie outside it, or labels are not 0
                or 1.
        """
        self._check_frame(inference_state, frame_idx, obj_id)
        size_wh = (inference_state['video_width'], inference_state['video_height']) if normalize_coords else (1, 1)
        for name, value, shape in (('points', points, (-1, 2)), ('box', box, (2, 2))):
            if value is not None:
                _check_inside(name, torch.as_tensor(value).cpu().double().reshape(shape).numpy(), size_wh)
        if labels is not None and not set(torch.as_tensor(labels).flatten().tolist()) <= {0, 1}:
            raise ValueError(f'labels must be 1 (on the object) or 0 (off it), got {torch.as_tensor(labels).tolist()}.')
        return super().add_new_points_or_box(
            inference_state, frame_idx, obj_id, points, labels, clear_old_points, normalize_coords, box
        )

    def add_new_mask(
        self, inference_state: dict[str, Any], frame_idx: int, obj_id: int, mask: Any
    ) -> tuple[int, list, Tensor]:
        """Like the method of sam2, with a checked mask.

        Args:
            mask: (H, W) bool.

        Raises:
            ValueError: the frame does not exist or was dropped, or the mask is empty or of another size.
        """
        self._check_frame(inference_state, frame_idx, obj_id)
        mask = torch.as_tensor(mask).bool()
        size_hw = (inference_state['video_height'], inference_state['video_width'])
        if tuple(mask.shape) != size_hw:
            raise ValueError(
                f'the mask of object {obj_id} must have the size of the video, {size_hw}, got {tuple(mask.shape)}.'
            )
        if not mask.any():
            raise ValueError(
                f'the mask of object {obj_id} on frame {frame_idx} is empty and cannot be tracked; prompt the object '
                'on a frame that shows it.'
            )
        return super().add_new_mask(inference_state, frame_idx, obj_id, mask)

    @torch.inference_mode()
    def propagate_in_video(
        self,
        inference_state: dict[str, Any],
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[int, list, Tensor]]:
        """Like the method of sam2, without its progress bar; yields frame index, object ids and (K, 1, H, W) logits.

        Args:
            start_frame_idx: default: the earliest frame with a prompt.
            max_frame_num_to_track: maximum number of frames after the first; default: all.
            reverse: track backwards.
        """
        self.propagate_in_video_preflight(inference_state)
        outputs = inference_state['output_dict_per_obj']
        if start_frame_idx is None:
            start_frame_idx = min(frame for output in outputs.values() for frame in output['cond_frame_outputs'])
        last = inference_state['num_frames'] - 1
        count = last if max_frame_num_to_track is None else max_frame_num_to_track
        if reverse:
            order = range(start_frame_idx, max(start_frame_idx - count, 0) - 1, -1)
        else:
            order = range(start_frame_idx, min(start_frame_idx + count, last) + 1)
        for frame_idx in order:
            masks = [self._track(inference_state, obj_idx, frame_idx, reverse) for obj_idx in outputs]
            if inference_state['streaming']:
                self._drop(inference_state, frame_idx)
            logits = self._get_orig_video_res_output(inference_state, torch.cat(masks))[1]
            yield frame_idx, inference_state['obj_ids'], logits

    def _track(self, inference_state: dict[str, Any], obj_idx: int, frame_idx: int, reverse: bool) -> Tensor:
        """Logits (1, 1, S, S) of one object; prompted frames keep their masks."""
        output = inference_state['output_dict_per_obj'][obj_idx]
        if frame_idx in output['cond_frame_outputs']:
            masks = output['cond_frame_outputs'][frame_idx]['pred_masks'].to(inference_state['device'])
        else:
            current, masks = self._run_single_frame_inference(
                inference_state=inference_state,
                output_dict=output,
                frame_idx=frame_idx,
                batch_size=1,
                is_init_cond_frame=False,
                point_inputs=None,
                mask_inputs=None,
                reverse=reverse,
                run_mem_encoder=True,
            )
            output['non_cond_frame_outputs'][frame_idx] = current
        inference_state['frames_tracked_per_obj'][obj_idx][frame_idx] = {'reverse': reverse}
        return masks

    @property
    def reach(self) -> int:
        """Maximum distance in frames to the memories that memory attention uses."""
        return max(self.memory_temporal_stride_for_eval * (self.num_maskmem - 1) + 1, self.max_obj_ptrs_in_encoder - 1)

    def _drop(self, inference_state: dict[str, Any], frame_idx: int) -> None:
        """Drop outputs out of reach of this frame and of prompted frames, from which tracking may start backwards."""
        for output in inference_state['output_dict_per_obj'].values():
            near = [frame_idx, *output['cond_frame_outputs']]
            tracked = output['non_cond_frame_outputs']
            for frame in [frame for frame in tracked if all(abs(frame - other) > self.reach for other in near)]:
                del tracked[frame]

    def _check_frame(self, inference_state: dict[str, Any], frame_idx: int, obj_id: int) -> None:
        if not 0 <= frame_idx < inference_state['num_frames']:
            raise ValueError(
                f'the video has frames 0 to {inference_state["num_frames"] - 1}, got frame_idx {frame_idx}.'
            )
        obj_idx = inference_state['obj_id_to_idx'].get(obj_id)
        if obj_idx is None or frame_idx not in inference_state['frames_tracked_per_obj'][obj_idx]:
            return
        output = inference_state['output_dict_per_obj'][obj_idx]
        if not any(frame_idx in frames for frames in output.values()):
            raise ValueError(
                f'the output of frame {frame_idx} was dropped, since the video is streamed; to correct it use '
                'init_state(..., streaming=False).'
            )

    def _get_image_feature(self, inference_state: dict[str, Any], frame_idx: int, batch_size: int):
        """Like the method of sam2; keeps the features of the last ``cached_frames`` frames."""
        before = inference_state['cached_features']
        features = super()._get_image_feature(inference_state, frame_idx, batch_size)
        kept = {**before, **inference_state['cached_features']}
        inference_state['cached_features'] = dict(list(kept.items())[-self.cached_frames :])
        return features

    def _prepare_memory_conditioned_features(self, *, output_dict: dict[str, dict], **kwargs: Any) -> Tensor:
        dtype = kwargs['current_vision_feats'][-1].dtype
        return super()._prepare_memory_conditioned_features(output_dict=_remembered_as(output_dict, dtype), **kwargs)


def _remembered_as(output_dict: dict[str, dict], dtype: torch.dtype) -> dict[str, dict]:
    """Convert the bfloat16 memories of prompted frames to another dtype; concatenation converts the others.

    In sam2 the object pointers have this effect, but they are missing before the first prompt of an object.
    """
    prompted = {
        frame: {**output, 'maskmem_features': output['maskmem_features'].to(dtype)}
        if output['maskmem_features'] is not None
        else output
        for frame, output in output_dict['cond_frame_outputs'].items()
    }
    return {**output_dict, 'cond_frame_outputs': prompted}


def _check_inside(name: str, places_xy: np.ndarray, size_wh: tuple[float, float]) -> None:
    if not np.isfinite(places_xy).all() or (places_xy < 0).any() or (places_xy > size_wh).any():
        raise ValueError(
            f'{name} must lie inside the frame of {size_wh[0]}x{size_wh[1]} (WxH) as x, y, got {places_xy.tolist()}.'
        )
    if name == 'box' and (places_xy[1] <= places_xy[0]).any():
        raise ValueError(f'box must be x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {places_xy.ravel().tolist()}.')
