"""SAM2Refiner on videos: SAM 2's video predictor, whose masks are refined.

Imports sam2, unlike the other modules. Legend: B objects (1: sam2 tracks them one by one), P points, S input size in
pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmrefine.models.sam2_refiner.base import captured_stages, local_features
from mmrefine.models.sam2_refiner.core import SAM2RefinerCore
from mmrefine.models.sam2_refiner.decoder_capture import DecoderState, captured_decoder
from mmrefine.models.sam2_refiner.streaming import StreamingVideoPredictor, sam2_video

PROMPT_REUSE = ('pr', 'none', 'pr_gated', 'all')
_STRIDE = 4


@dataclass(frozen=True)
class _Frame:
    """Inputs of the refiner beside the decoder's arguments, for one object on one frame.

    Attributes:
        extras: stages, local features and image of the frame.
        points: first prompt of the object, on frames without a prompt; None: it is not reused.
    """

    extras: dict[str, Any]
    points: dict[str, Tensor] | None


class SAM2RefinerVideoPredictor(StreamingVideoPredictor):
    """Video predictor of SAM2Refiner; without a core it is SAM 2.

    Frames with clicks or boxes and tracked frames are refined; a frame with a mask prompt keeps that mask, as in sam2.
    Masks are logits at the size of the video; those of an invisible object are -1024 everywhere.

    Localization Augment changes only the input of the mask decoder: memory attention and memory encoder get the
    features they were trained with. Quadrants are encoded once per frame for all objects.

    Args:
        prompt_reuse: how the first prompt of an object (of its earliest prompted frame), if points or a box, is used on
            tracked frames: 'pr': by Prompt Retargeting, as in the paper; 'pr_gated': the same without clicks that
            contradict SAM 2's mask of the frame, since objects move away from clicks; 'none'; 'all': also by SAM 2's
            decoder.
        kwargs: keyword arguments of :class:`StreamingVideoPredictor` and of sam2's predictor.

    Raises:
        ValueError: ``prompt_reuse`` is unknown, or an option of sam2 is not supported.
    """

    def __init__(self, *, prompt_reuse: str = 'pr', **kwargs: Any):
        super().__init__(**kwargs)
        if self.fill_hole_area:
            raise ValueError(
                f'fill_hole_area must be 0, since it would fill holes of refined masks, got {self.fill_hole_area}.'
            )
        if prompt_reuse not in PROMPT_REUSE:
            raise ValueError(f'prompt_reuse must be one of {PROMPT_REUSE}, got {prompt_reuse!r}.')
        self.prompt_reuse = prompt_reuse
        self.attach_core(None)
        self._frame: _Frame | None = None

    @property
    def core(self) -> SAM2RefinerCore | None:
        """The trained part, see :meth:`attach_core`; None: SAM 2."""
        return self._held[0] if self._held else None

    def attach_core(
        self, core: SAM2RefinerCore | None, tile_scale: float = 1.0, tile_chunk: int = 4
    ) -> SAM2RefinerVideoPredictor:
        """Set the core that refines masks. It does not become a submodule: its owner moves and saves it.

        Args:
            core: None: SAM 2 alone.
            tile_scale, tile_chunk: see :func:`~mmrefine.models.sam2_refiner.local_features`; ``tile_scale`` 0 skips
                Localization Augment.

        Returns:
            The predictor itself.

        Raises:
            ValueError: the core belongs to another SAM 2.
        """
        widths = set() if core is None else _embed_dims(core)
        if widths - {self.hidden_dim}:
            raise ValueError(
                f'the core belongs to another SAM 2: expected {self.hidden_dim} channels, got {sorted(widths)}.'
            )
        self._held = () if core is None else (core,)
        self._tile_scale, self._tile_chunk = tile_scale, tile_chunk
        return self

    def _get_image_feature(self, inference_state: dict[str, Any], frame_idx: int, batch_size: int):
        """Like the method of sam2; also caches the features that the refiner needs."""
        if frame_idx in inference_state['cached_features']:
            return super()._get_image_feature(inference_state, frame_idx, batch_size)
        with captured_stages(self) as stages:
            features = super()._get_image_feature(inference_state, frame_idx, batch_size)
        if self.core is not None:
            image, encoded = inference_state['cached_features'][frame_idx]
            local = None
            if self.core.la is not None and self._tile_scale:
                local = local_features(self, image, self._tile_scale, self._tile_chunk)
            encoded['extras'] = {'stages': stages[0], 'local': local, 'image': image}
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
        """Like the method of sam2; stores the mask of a tracked frame at S/4 and returns it at S."""
        is_tracked = point_inputs is None and mask_inputs is None
        frame = None
        if self.core is not None:
            first = self._first_points(inference_state, output_dict) if is_tracked else None
            if self.prompt_reuse == 'all' and is_tracked:
                point_inputs = first
            self._get_image_feature(inference_state, frame_idx, batch_size)
            frame = _Frame(inference_state['cached_features'][frame_idx][1]['extras'], first)
        with self._refining(frame):
            current, masks = super()._run_single_frame_inference(
                inference_state,
                output_dict,
                frame_idx,
                batch_size,
                is_init_cond_frame,
                point_inputs,
                mask_inputs,
                reverse,
                run_mem_encoder,
                prev_sam_mask_logits,
            )
        if frame is not None and is_tracked:
            side = self.image_size // _STRIDE
            current['pred_masks'] = F.interpolate(
                current['pred_masks'], (side, side), mode='bilinear', align_corners=False, antialias=True
            )
        return current, masks

    def _first_points(self, inference_state: dict[str, Any], output_dict: dict[str, dict]) -> dict[str, Tensor] | None:
        """Points or box of the object's earliest prompt; None if that is a mask."""
        if self.prompt_reuse == 'none':
            return None
        obj_idxs = inference_state['output_dict_per_obj'].items()
        obj_idx = next(obj_idx for obj_idx, output in obj_idxs if output is output_dict)
        points, masks = (inference_state[f'{kind}_inputs_per_obj'][obj_idx] for kind in ('point', 'mask'))
        return points.get(min([*points, *masks])) if points or masks else None

    @contextmanager
    def _refining(self, frame: _Frame | None) -> Iterator[None]:
        outer, self._frame = self._frame, frame
        try:
            yield
        finally:
            self._frame = outer

    def _use_mask_as_output(self, backbone_features: Tensor, high_res_features: list[Tensor], mask_inputs: Tensor):
        """Like the method of sam2; enlarges the mask of S/4 to S, the size of refined masks."""
        with self._refining(None):
            outputs = super()._use_mask_as_output(backbone_features, high_res_features, mask_inputs)
        if self.core is None:
            return outputs
        return *outputs[:3], self._enlarge(outputs[3]), *outputs[4:]

    def _enlarge(self, logits: Tensor) -> Tensor:
        return F.interpolate(logits, (self.image_size,) * 2, mode='bilinear', align_corners=False)

    def _prepare_memory_conditioned_features(self, **kwargs: Any) -> Tensor:
        """Embedding for the decoder, with Localization Augment."""
        embedding = super()._prepare_memory_conditioned_features(**kwargs)
        local = None if self._frame is None else self._frame.extras['local']
        return embedding if local is None else self.core.augment(embedding, local)

    def _forward_sam_heads(
        self,
        backbone_features: Tensor,
        point_inputs: dict[str, Tensor] | None = None,
        mask_inputs: Tensor | None = None,
        high_res_features: list[Tensor] | None = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, ...]:
        """Like the method of sam2; returns the refined mask (B, 1, S, S) instead of the selected one."""
        heads: Callable = super()._forward_sam_heads
        if self._frame is None:
            return heads(backbone_features, point_inputs, mask_inputs, high_res_features, multimask_output)
        with captured_decoder(self.sam_mask_decoder) as states:
            outputs = heads(backbone_features, point_inputs, mask_inputs, high_res_features, multimask_output)
        low, high, iou, coarse, _, pointer, object_score = outputs
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
            refined = torch.where(object_score[..., None, None] > 0, refined, sam2_video.NO_OBJ_SCORE)
        return low, high, iou, refined, refined, pointer, object_score

    def _prompts_for_refiner(
        self, state: DecoderState, point_inputs: dict[str, Tensor] | None, coarse: Tensor
    ) -> tuple[DecoderState, Tensor, Tensor]:
        """State, coordinates (B, P, 2) and labels (B, P), of the frame's own points or the reused ones."""
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


def _embed_dims(core: SAM2RefinerCore) -> set[int]:
    """Widths of SAM 2's embedding that the modules of the core expect."""
    local = [] if core.la is None else [core.la.norm_query.weight]
    norms = local + ([] if core.pr is None else [core.pr.block.norm1.weight])
    return {len(weight) for weight in norms}


def _agreeing(coords: Tensor, labels: Tensor, coarse: Tensor) -> Tensor:
    """(P,) bool: False for positive clicks off the mask and negative clicks on it; corners of boxes are True. B = 1."""
    x, y = (coords[0] / _STRIDE).long().clamp(0, coarse.shape[-1] - 1).T
    inside = coarse[0, 0, y, x] > 0
    return torch.where(labels[0] == 1, inside, (labels[0] != 0) | ~inside)
