"""SAM2Refiner on videos: SAM 2's video predictor, whose every decoded mask passes through the refiner.

Imports sam2, unlike the rest of the room. Legend: B objects (1: sam2 takes them one by one), P points, S the side of
the model's input, H and W of the video in pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mmrefine.models.interactive import captured_stages, local_features
from mmrefine.models.modules import DecoderState, SAM2RefinerCore, captured_decoder
from mmrefine.utils import require

_sam2 = require('sam2.sam2_video_predictor', 'pip install "mmrefine[sam2]"', 'SAM2RefinerVideoPredictor')

PROMPT_REUSE = ('pr', 'none', 'pr_gated', 'all')
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STRIDE = 4


class InputFrames:
    """Frames as the model wants them, made when they are asked for. Resized as sam2 does it.

    Args:
        frames: each (H, W, 3) uint8 RGB.
        side: S.
    """

    def __init__(self, frames: Sequence[np.ndarray], side: int):
        self.frames, self.side = frames, side

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Tensor:
        """(3, S, S) float32, normalised."""
        pixels = np.asarray(Image.fromarray(self.frames[index]).resize((self.side, self.side)))
        pixels = torch.from_numpy(pixels / 255.0).permute(2, 0, 1).float()
        return (pixels - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]


@dataclass(frozen=True)
class _Frame:
    """What the refiner needs beyond the decoder's arguments, for one object on one frame.

    Attributes:
        extras: stages, local features and image of the frame.
        points: the first prompt of the object, on frames that have none of their own; None: nothing to be used again.
    """

    extras: dict[str, Any]
    points: dict[str, Tensor] | None


class SAM2RefinerVideoPredictor(_sam2.SAM2VideoPredictor):
    """SAM 2's video predictor with SAM2Refiner; without a core it is SAM 2.

    The interface is sam2's: ``init_state``, ``add_new_points_or_box``, ``add_new_mask``, ``propagate_in_video``,
    ``remove_object``, ``reset_state``. Frames with clicks or boxes and tracked frames are refined; a frame with a mask
    prompt keeps that mask, as in sam2. Masks are logits at the size of the video; an object that the model does not see
    has -1024 everywhere.

    Localization Augment changes the input of the mask decoder alone: memory attention and memory encoder get the
    features they were trained with. Quadrants are encoded once per frame for all objects.

    Args:
        prompt_reuse: what tracked frames get of the first prompt (that of the earliest frame with one), if it is points
            or a box: 'pr', Prompt Retargeting sees it, as the paper does; 'pr_gated', without the clicks that
            contradict SAM 2's mask of the frame, for objects move away from clicks; 'none'; 'all', SAM 2's decoder sees
            it too.
        la_position: Localization Augment 'post' or 'pre' memory attention.
        memory_mask: what is remembered of a frame, its 'refined' mask or SAM 2's own, 'coarse'.
        cached_frames: of how many frames the features are kept; more than one for who goes to and fro.
        kwargs: of sam2's predictor.

    Raises:
        ValueError: an unknown choice, or one of sam2's options that cannot work here.
    """

    def __init__(
        self,
        *,
        prompt_reuse: str = 'pr',
        la_position: str = 'post',
        memory_mask: str = 'refined',
        cached_frames: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if self.clear_non_cond_mem_around_input:
            raise ValueError('clear_non_cond_mem_around_input calls what sam2 1.1 does not have; leave it off.')
        if self.fill_hole_area:
            raise ValueError(
                f'fill_hole_area must be 0, since refined masks have no coarse holes: {self.fill_hole_area}.'
            )
        for name, value, choices in (
            ('prompt_reuse', prompt_reuse, PROMPT_REUSE),
            ('la_position', la_position, ('post', 'pre')),
            ('memory_mask', memory_mask, ('refined', 'coarse')),
        ):
            if value not in choices:
                raise ValueError(f'{name} must be one of {choices}, got {value!r}.')
        if cached_frames < 1:
            raise ValueError(f'cached_frames must be at least 1, got {cached_frames}.')
        self.prompt_reuse, self.la_position, self.memory_mask = prompt_reuse, la_position, memory_mask
        self.cached_frames = cached_frames
        self.attach_core(None)
        self._frame: _Frame | None = None

    @property
    def core(self) -> SAM2RefinerCore | None:
        """The refiner; see :meth:`attach_core`."""
        return self._held[0] if self._held else None

    def attach_core(
        self, core: SAM2RefinerCore | None, tile_scale: float = 1.0, tile_chunk: int = 4
    ) -> SAM2RefinerVideoPredictor:
        """Refine with this core from now on; it stays a module of its owner, who moves and saves it.

        Args:
            core: None: SAM 2 alone.
            tile_scale, tile_chunk: see :func:`~mmrefine.models.interactive.local_features`; ``tile_scale`` 0 skips
                Localization Augment.

        Returns:
            The predictor itself.

        Raises:
            ValueError: the core was made for another SAM 2.
        """
        if core is not None and any(weight.shape[-1] != self.hidden_dim for weight in _norms(core)):
            raise ValueError(f'the core was made for another SAM 2: this one has {self.hidden_dim} channels.')
        self._held = () if core is None else (core,)
        self._tile_scale, self._tile_chunk = tile_scale, tile_chunk
        return self

    @torch.inference_mode()
    def init_state(
        self, video_path: str | Sequence[np.ndarray], offload_state_to_cpu: bool = False, streaming: bool = False
    ) -> dict[str, Any]:
        """Begin with a video, of which frames are read when they are needed.

        Args:
            video_path: a folder of frames, a video file, or a sequence of (H, W, 3) uint8 RGB frames, such as
                :class:`~mmrefine.datasets.video_frames.VideoFrames`.
            offload_state_to_cpu: keep memories and masks there.
            streaming: forget outputs that no later frame looks at, so that memory does not grow with the video. Frames
                that were forgotten cannot be corrected any more.

        Raises:
            OSError, ValueError: the video cannot be read.
        """
        frames = video_path
        if isinstance(frames, (str, bytes)) or hasattr(frames, '__fspath__'):
            # Here, as models do not read data elsewhere; sam2's own interface takes a path.
            from mmrefine.datasets.video_frames import open_frames

            frames = open_frames(frames)
        if not len(frames):
            raise ValueError('the video has no frame.')
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
        """As sam2's; prompts are checked.

        Args:
            points: (P, 2), (x, y) in pixels of the video.
            labels: (P,), 1 positive, 0 negative.
            box: (4,) xyxy.

        Raises:
            ValueError: no such frame, points or a box outside of it, other labels, or a frame that was forgotten.
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
        """As sam2's; the mask is checked.

        Args:
            mask: (H, W) bool.

        Raises:
            ValueError: no such frame, a mask of another size or without a pixel, or a frame that was forgotten.
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
                f'the mask of object {obj_id} on frame {frame_idx} is empty: there is nothing to follow; prompt the '
                'object on a frame that shows it.'
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
        """As sam2's, without its progress bar: yields frame index, object ids and (K, 1, H, W) logits.

        Args:
            start_frame_idx: default: the earliest frame with a prompt.
            max_frame_num_to_track: how many frames beyond the first; default: all.
            reverse: backwards.
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
            masks = [self._track(inference_state, place, frame_idx, reverse) for place in outputs]
            if inference_state['streaming']:
                self._forget(inference_state, frame_idx)
            logits = self._get_orig_video_res_output(inference_state, torch.cat(masks))[1]
            yield frame_idx, inference_state['obj_ids'], logits

    def _track(self, inference_state: dict[str, Any], place: int, frame_idx: int, reverse: bool) -> Tensor:
        """Logits (1, 1, S, S) of one object; prompted frames keep what they have."""
        output = inference_state['output_dict_per_obj'][place]
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
        inference_state['frames_tracked_per_obj'][place][frame_idx] = {'reverse': reverse}
        return masks

    @property
    def reach(self) -> int:
        """How many frames away memory attention looks for what it remembers of tracked frames."""
        return max(self.memory_temporal_stride_for_eval * (self.num_maskmem - 1) + 1, self.max_obj_ptrs_in_encoder - 1)

    def _forget(self, inference_state: dict[str, Any], frame_idx: int) -> None:
        """Drop tracked outputs out of reach of this frame and of prompted ones, from which one may turn back."""
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
        place = inference_state['obj_id_to_idx'].get(obj_id)
        if place is None or frame_idx not in inference_state['frames_tracked_per_obj'][place]:
            return
        output = inference_state['output_dict_per_obj'][place]
        if not any(frame_idx in frames for frames in output.values()):
            raise ValueError(
                f'frame {frame_idx} was tracked and forgotten, as the video is streamed; to correct it begin with '
                'init_state(..., streaming=False).'
            )

    def _get_image_feature(self, inference_state: dict[str, Any], frame_idx: int, batch_size: int):
        """sam2's, and in its cache what the refiner needs besides; the last ``cached_frames`` frames are kept."""
        kept = inference_state['cached_features']
        if frame_idx in kept:
            return super()._get_image_feature(inference_state, frame_idx, batch_size)
        with captured_stages(self) as stages:
            features = super()._get_image_feature(inference_state, frame_idx, batch_size)
        image, encoded = inference_state['cached_features'][frame_idx]
        if self.core is not None:
            local = None
            if self.core.la is not None and self._tile_scale:
                local = local_features(self, image, self._tile_scale, self._tile_chunk)
            encoded['extras'] = {'stages': stages[0], 'local': local, 'image': image}
        latest = list(kept.items())[1 - self.cached_frames :] if self.cached_frames > 1 else []
        inference_state['cached_features'] = {**dict(latest), frame_idx: (image, encoded)}
        return features

    def _run_single_frame_inference(
        self,
        inference_state: dict[str, Any],
        output_dict: dict[str, dict],
        frame_idx: int,
        batch_size: int,
        is_init_cond_frame: bool,
        point_inputs: dict[str, Tensor] | None,
        mask_inputs: Tensor | None,
        reverse: bool,
        run_mem_encoder: bool,
        prev_sam_mask_logits: Tensor | None = None,
    ) -> tuple[dict[str, Any], Tensor]:
        """sam2's step. A tracked frame keeps its mask at S/4, as sam2's does, and hands it out at S."""

        def step(points: dict[str, Tensor] | None, encode: bool) -> tuple[dict[str, Any], Tensor]:
            return super(SAM2RefinerVideoPredictor, self)._run_single_frame_inference(
                inference_state,
                output_dict,
                frame_idx,
                batch_size,
                is_init_cond_frame,
                points,
                mask_inputs,
                reverse,
                encode,
                prev_sam_mask_logits,
            )

        if self.core is None:
            return step(point_inputs, run_mem_encoder)
        is_tracked = point_inputs is None and mask_inputs is None
        first = self._first_points(inference_state, output_dict) if is_tracked else None
        self._get_image_feature(inference_state, frame_idx, batch_size)
        extras = inference_state['cached_features'][frame_idx][1]['extras']
        # The stored mask, from which sam2 would encode the memory of prompted frames, is the refined one.
        encode = run_mem_encoder or (self.memory_mask == 'coarse' and point_inputs is not None)
        with self._refining(_Frame(extras, first)):
            current, masks = step(first if self.prompt_reuse == 'all' and is_tracked else point_inputs, encode)
        if is_tracked:
            side = self.image_size // _STRIDE
            current['pred_masks'] = F.interpolate(
                current['pred_masks'], (side, side), mode='bilinear', align_corners=False, antialias=True
            )
        return current, masks

    def _first_points(self, inference_state: dict[str, Any], output_dict: dict[str, dict]) -> dict[str, Tensor] | None:
        """The points or the box of the object's earliest prompt; None if that is a mask."""
        if self.prompt_reuse == 'none':
            return None
        places = inference_state['output_dict_per_obj'].items()
        place = next(place for place, output in places if output is output_dict)
        points, masks = (inference_state[f'{kind}_inputs_per_obj'][place] for kind in ('point', 'mask'))
        return points.get(min([*points, *masks])) if points or masks else None

    @contextmanager
    def _refining(self, frame: _Frame | None) -> Iterator[None]:
        outer, self._frame = self._frame, frame
        try:
            yield
        finally:
            self._frame = outer

    def _use_mask_as_output(self, backbone_features: Tensor, high_res_features: list[Tensor], mask_inputs: Tensor):
        """sam2's; its mask of S/4 is enlarged to S, the size of refined masks beside which it is put."""
        with self._refining(None):
            outputs = super()._use_mask_as_output(backbone_features, high_res_features, mask_inputs)
        if self.core is None:
            return outputs
        return *outputs[:3], self._enlarge(outputs[3]), *outputs[4:]

    def _enlarge(self, logits: Tensor) -> Tensor:
        return F.interpolate(logits, (self.image_size,) * 2, mode='bilinear', align_corners=False)

    def _prepare_memory_conditioned_features(self, *, output_dict: dict[str, dict], **kwargs: Any) -> Tensor:
        """sam2's embedding for the decoder, with Localization Augment."""
        local = None if self._frame is None else self._frame.extras['local']
        features = kwargs['current_vision_feats']
        if self.la_position == 'pre' and local is not None:
            grid = features[-1].permute(1, 2, 0).unflatten(-1, kwargs['feat_sizes'][-1])
            kwargs['current_vision_feats'] = [
                *features[:-1],
                self.core.augment(grid, local).flatten(2).permute(2, 0, 1),
            ]
        embedding = super()._prepare_memory_conditioned_features(
            output_dict=_remembered_as(output_dict, features[-1].dtype), **kwargs
        )
        return self.core.augment(embedding, local) if self.la_position == 'post' and local is not None else embedding

    def _forward_sam_heads(
        self,
        backbone_features: Tensor,
        point_inputs: dict[str, Tensor] | None = None,
        mask_inputs: Tensor | None = None,
        high_res_features: list[Tensor] | None = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, ...]:
        """sam2's, with the refined mask (B, 1, S, S) in place of the chosen one of S/4 and its enlarged copy."""
        heads: Callable = super()._forward_sam_heads
        if self._frame is None:
            return heads(backbone_features, point_inputs, mask_inputs, high_res_features, multimask_output)
        with captured_decoder(self.sam_mask_decoder) as states:
            outputs = heads(backbone_features, point_inputs, mask_inputs, high_res_features, multimask_output)
        low, high, iou, coarse, coarse_high, pointer, object_score = outputs
        state, coords, labels = self._prompts_for_refiner(states[0], point_inputs, coarse)
        refined = self.core(
            state,
            coords,
            labels,
            coarse,
            iou.argmax(dim=1) + int(multimask_output),
            self._frame.extras['stages'],
            high_res_features,
            self._frame.extras['image'],
            self.sam_mask_decoder,
        ).logits.float()
        if self.pred_obj_scores:
            refined = torch.where(object_score[..., None, None] > 0, refined, _sam2.NO_OBJ_SCORE)
        return low, high, iou, refined, refined if self.memory_mask == 'refined' else coarse_high, pointer, object_score

    def _prompts_for_refiner(
        self, state: DecoderState, point_inputs: dict[str, Tensor] | None, coarse: Tensor
    ) -> tuple[DecoderState, Tensor, Tensor]:
        """State, coordinates (B, P, 2) and labels (B, P): of the frame's own points, or those used again."""
        points = point_inputs if point_inputs is not None else self._frame.points
        if points is None:
            return state, coarse.new_zeros(len(coarse), 0, 2), coarse.new_zeros(len(coarse), 0)
        coords, labels = points['point_coords'], points['point_labels']
        if point_inputs is not None:
            return state, coords, labels
        if self.prompt_reuse == 'pr_gated':
            kept = _agreeing(coords, labels, coarse)
            coords, labels = coords[:, kept], labels[:, kept]
            if not kept.any():
                return state, coords, labels
        sparse, _ = self.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=None)
        return replace(state, sparse=sparse), coords, labels


def _norms(core: SAM2RefinerCore) -> list[Tensor]:
    """Weights of the core as wide as SAM 2's embedding."""
    local = [] if core.la is None else [core.la.norm_query.weight]
    return local + ([] if core.pr is None else [core.pr.block.norm1.weight])


def _agreeing(coords: Tensor, labels: Tensor, coarse: Tensor) -> Tensor:
    """(P,) bool: not the positive clicks off the mask nor the negative ones on it; corners of boxes stay. B = 1."""
    x, y = (coords[0] / _STRIDE).long().clamp(0, coarse.shape[-1] - 1).T
    inside = coarse[0, 0, y, x] > 0
    return torch.where(labels[0] == 1, inside, (labels[0] != 0) | ~inside)


def _remembered_as(output_dict: dict[str, dict], dtype: torch.dtype) -> dict[str, dict]:
    """Prompted frames with their bfloat16 memory in another type; joined with them, the others take it too.

    sam2 leaves that to the object pointers, which are missing before an object's first prompt.
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
