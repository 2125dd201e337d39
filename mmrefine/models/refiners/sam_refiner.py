"""SAMRefiner: training-free refinement with a promptable segmentation model (ICLR 2025).

Legend: N masks of one image, H and W its size in pixels, M outputs of the backend per prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmrefine.core.crops import mask_boxes, pad_boxes
from mmrefine.core.expected_iou import expected_iou
from mmrefine.core.iou import binary_iou
from mmrefine.core.prompts import (
    DistanceField,
    check_distance,
    context_similarity,
    distance_fields,
    elastic_boxes,
    mask_prompts,
    prompt_points,
)
from mmrefine.models.backends import FeatureCache, PromptBackend, PromptFeatures
from mmrefine.models.backends.base_backend import MASK_THRESHOLD
from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal, RefineInput
from mmrefine.registry import MODELS

_CHOICES = ('predicted_iou', 'coarse_iou', 'first')
_CHUNK_CPU, _CHUNK_GPU = 4, 64
_STABILITY_OFFSET = 1.0


@dataclass(frozen=True)
class _Predictions:
    """Outputs of one iteration for n masks of (H, W), and quality estimates from them.

    Attributes:
        before, after: (n, H, W) bool, masks before and after the iteration.
        logits: (n, H, W).
        predicted_iou: (n,), IoU predicted by the backend.
        first_probs: (n, H, W), probabilities of the first iteration; only if needed.
    """

    before: np.ndarray
    after: np.ndarray
    logits: Tensor
    predicted_iou: Tensor
    first_probs: Tensor | None

    def predicted(self) -> np.ndarray:
        return self.predicted_iou.clamp(0, 1).cpu().numpy()

    def stability(self) -> np.ndarray:
        inner, outer = (self.logits > MASK_THRESHOLD + offset for offset in (_STABILITY_OFFSET, -_STABILITY_OFFSET))
        return (inner.sum((1, 2)) / outer.sum((1, 2)).clamp(min=1)).cpu().numpy()

    def agreement(self) -> np.ndarray:
        return binary_iou(self.before, self.after)

    def expected(self) -> np.ndarray:
        return _expected_iou(self.after, self.first_probs)


_QUALITIES = {
    'predicted_iou': _Predictions.predicted,
    'stability': _Predictions.stability,
    'agreement': _Predictions.agreement,
    'expected_iou': _Predictions.expected,
}


@MODELS.register_module()
class SAMRefiner(BaseRefiner):
    """SAMRefiner: every coarse mask is turned into prompts and replaced by the best output of the model, iteratively.

    Iterations stop when a mask does not change. Except for rounding, results do not depend on other masks in the batch.
    State dicts have the keys of the backend's published checkpoints.

    Args:
        backend: a :class:`~mmrefine.models.backends.PromptBackend`, or its config.
        iters: maximum number of iterations; 5 in the authors' code, 1 in the paper.
        use_point, use_box, use_mask: which prompts are used.
        negative_point: whether point prompts include a negative point.
        margin: lambda of the context-aware elastic box, in [0, 1); 0, as in the authors' code, keeps the tight box.
        gamma: parameter of the Gaussian-style mask; 0: uniform weights.
        strength: logit of the mask prompt; 1 is used for masks whose box was expanded.
        choose: which output of the backend is used: 'predicted_iou', the one with the highest predicted IoU, as in the
            paper; 'coarse_iou', the one with the highest IoU with the prompting mask; or 'first'.
        distance: 'chamfer' or 'euclidean', see :func:`~mmrefine.core.prompts.distance_fields`.
        quality: factors of the score: 'predicted_iou' by the backend; 'stability', the IoU of the masks thresholded at
            logits +1 and -1; 'agreement', the IoU with the mask before the last iteration; 'expected_iou' by the
            probabilities of the first iteration, which also rates coarse masks, as the gate's ``min_gain`` requires.
        window: keyword arguments of :func:`~mmrefine.core.crops.pad_boxes`: encode a window around each coarse mask
            instead of the image, for small models and small objects.
        chunk_size: number of masks that are decoded together, which bounds memory; None: 4 on a CPU, 64 on a GPU.
        cache: keyword arguments of :class:`~mmrefine.models.backends.FeatureCache`; None: no cache.
        released_behaviour: see :mod:`mmrefine.core.prompts`.
        gate, data_preprocessor, init_cfg: see :class:`BaseRefiner`.
    """

    def __init__(
        self,
        backend: dict | PromptBackend,
        iters: int = 5,
        use_point: bool = True,
        use_box: bool = True,
        use_mask: bool = True,
        negative_point: bool = True,
        margin: float = 0.0,
        gamma: float = 4.0,
        strength: float = 30.0,
        choose: str = 'predicted_iou',
        distance: str = 'chamfer',
        quality: Sequence[str] = ('predicted_iou',),
        window: Mapping[str, float] | None = None,
        chunk_size: int | None = None,
        cache: Mapping[str, Any] | None = None,
        released_behaviour: bool = False,
        gate: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(gate, data_preprocessor, init_cfg)
        if not (use_point or use_box or use_mask):
            raise ValueError('at least one of use_point, use_box and use_mask must be enabled.')
        if iters < 1:
            raise ValueError(f'iters must be at least 1, got {iters}.')
        check_distance(distance)
        if choose not in _CHOICES:
            raise ValueError(f'choose must be one of {_CHOICES}, got {choose!r}.')
        if not quality or set(quality) - _QUALITIES.keys():
            raise ValueError(f'quality must be some of {tuple(_QUALITIES)}, got {tuple(quality)}.')
        self.backend = backend if isinstance(backend, PromptBackend) else MODELS.build(backend)
        self.iters = iters
        self.use_point, self.use_box, self.use_mask = use_point, use_box, use_mask
        self.negative_point = negative_point
        self.margin, self.gamma, self.strength = margin, gamma, strength
        self.choose = choose
        self.distance = distance
        self.quality = tuple(quality)
        self.window = window
        self.chunk_size = chunk_size
        self.cache = FeatureCache(**cache) if cache else None
        self.released_behaviour = released_behaviour
        self.register_state_dict_post_hook(_to_published_names)
        self.register_load_state_dict_pre_hook(_from_published_names)

    @classmethod
    def config_for_checkpoint(cls, config: dict) -> dict:
        """Config without the backend's checkpoint, which the refiner's checkpoint replaces."""
        backend = config['backend']
        return {**config, 'backend': {**backend, 'checkpoint': None}} if 'checkpoint' in backend else config

    def forward(self, inputs: Sequence[Tensor], data_samples: Sequence, mode: str = 'predict') -> list:
        """mmengine's forward pass; only ``mode='predict'``, since only :class:`SAMRefinerPP` is trained."""
        if mode != 'predict':
            raise ValueError(f"{type(self).__name__} supports mode='predict' only, got {mode!r}.")
        return self.predict(inputs, data_samples)

    def encode(self, image: np.ndarray) -> PromptFeatures:
        """Features of an (H, W, 3) uint8 RGB image, from the cache if there is one."""
        return self.cache.encode(self.backend, image) if self.cache else self.backend.encode(image)

    # ---- refining ---------------------------------------------------------------------------------------------------

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[Proposal]:
        refine = self._refine_image if self.window is None else self._refine_windows
        return [refine(item.image, item.masks) for item in inputs]

    def _refine_windows(self, image: np.ndarray, masks: np.ndarray) -> Proposal:
        """Refine each mask in its window; it is empty outside."""
        refined, (scores, coarse_scores) = np.zeros_like(masks), np.zeros((2, len(masks)), np.float32)
        judges_coarse = 'expected_iou' in self.quality
        for index, (x1, y1, x2, y2) in enumerate(pad_boxes(mask_boxes(masks), image.shape[:2], **self.window)):
            inside = slice(y1, y2), slice(x1, x2)
            proposal = self._refine_image(np.ascontiguousarray(image[inside]), masks[index : index + 1, y1:y2, x1:x2])
            refined[index][inside] = proposal.masks[0]
            scores[index] = proposal.scores[0]
            if judges_coarse:
                coarse_scores[index] = proposal.coarse_scores[0]
        return Proposal(refined, scores, coarse_scores if judges_coarse else None)

    def _refine_image(self, image: np.ndarray, coarse: np.ndarray) -> Proposal:
        features, size = self.encode(image), self._chunk()
        parts = [self._refine_chunk(features, coarse[start : start + size]) for start in range(0, len(coarse), size)]
        columns = zip(*((part.masks, part.scores, part.coarse_scores) for part in parts), strict=True)
        masks, scores, coarse_scores = map(np.concatenate, columns)
        return Proposal(masks, scores, coarse_scores if 'expected_iou' in self.quality else None)

    def _refine_chunk(self, features: PromptFeatures, coarse: np.ndarray) -> Proposal:
        """Run iterations for some masks of one image until they are done."""
        masks = coarse.copy()
        scores, coarse_scores = np.zeros((2, len(masks)), np.float32)
        active, first_probs = np.arange(len(masks)), None
        for _ in range(self.iters):
            before = masks[active]
            logits, predicted_iou = self._round(features, before)
            masks[active] = (logits > MASK_THRESHOLD).cpu().numpy()
            if 'expected_iou' in self.quality and first_probs is None:
                # By the first iteration, because later ones are overconfident about their own prompts.
                first_probs = logits.sigmoid()
                coarse_scores[:] = _expected_iou(coarse, first_probs)
            predictions = _Predictions(
                before, masks[active], logits, predicted_iou, None if first_probs is None else first_probs[active]
            )
            scores[active] = np.prod([_QUALITIES[name](predictions) for name in self.quality], axis=0)
            active = active[~self._done(before, masks[active])]
            if not len(active):
                break
        return Proposal(masks, scores, coarse_scores)

    def _chunk(self) -> int:
        return self.chunk_size or (_CHUNK_CPU if self.device.type == 'cpu' else _CHUNK_GPU)

    def _done(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(n,) bool: whether the mask is empty, or another iteration would not change it."""
        settled = ~(before != after).any(axis=(1, 2))
        return settled if self.released_behaviour else settled | ~after.any(axis=(1, 2))

    def _round(self, features: PromptFeatures, masks: np.ndarray) -> tuple[Tensor, Tensor]:
        """Best outputs for (n, H, W) masks: logits (n, H, W) and predicted IoU (n,)."""
        fields = distance_fields(masks, self.distance, self.released_behaviour)
        logits, iou = self.backend.predict(features, **self._prompts(features, fields))
        best = self._choose(features, logits, iou, masks)[:, None]
        logits = logits.take_along_dim(best[:, :, None, None], dim=1)[:, 0]
        return self.backend.upscale(features.frame, logits), iou.gather(1, best)[:, 0]

    def _choose(self, features: PromptFeatures, logits: Tensor, iou: Tensor, masks: np.ndarray) -> Tensor:
        """Index of the selected output of each of n masks, (n,)."""
        if self.choose == 'first':
            return torch.zeros(len(iou), dtype=torch.long, device=iou.device)
        if self.choose == 'coarse_iou':
            iou = self._output_iou(features, logits, masks)
        return iou.argmax(dim=1)

    def _output_iou(self, features: PromptFeatures, logits: Tensor, masks: np.ndarray) -> Tensor:
        """IoU of the outputs with (n, H, W) masks: (n, M)."""
        wanted = torch.from_numpy(masks).to(logits.device)
        outputs = (self.backend.upscale(features.frame, output) > MASK_THRESHOLD for output in logits.unbind(dim=1))
        return torch.stack([binary_iou(output, wanted) for output in outputs], dim=1)

    # ---- prompts ----------------------------------------------------------------------------------------------------

    def _prompts(self, features: PromptFeatures, fields: Sequence[DistanceField]) -> dict[str, np.ndarray]:
        """The enabled prompts as arguments of the backend."""
        prompts = {}
        strength = np.full(len(fields), self.strength, np.float32)
        if self.use_point:
            prompts['points'], prompts['labels'] = prompt_points(fields, self.negative_point, self.released_behaviour)
        if self.use_box:
            prompts['boxes'], expanded = self._boxes(features, fields)
            strength[expanded] = 1
        if self.use_mask:
            prompts['mask_inputs'] = mask_prompts(fields, features.frame, self.backend.prompt_hw, strength, self.gamma)
        return prompts

    def _boxes(self, features: PromptFeatures, fields: Sequence[DistanceField]) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) and which of them were expanded (n,)."""
        boxes = np.array([field.box_xyxy for field in fields])
        if self.margin == 0:
            return boxes, np.zeros(len(boxes), bool)
        similarity = context_similarity(features.embedding, fields, features.frame, self.released_behaviour)
        return elastic_boxes(
            boxes,
            similarity,
            features.frame,
            self.margin,
            via_hw=self.backend.prompt_hw,
            released_behaviour=self.released_behaviour,
        )


def _to_published_names(module: SAMRefiner, state: dict[str, Tensor], prefix: str, metadata: dict) -> None:
    """Rename the backend's keys to those of its published checkpoints."""
    ours = f'{prefix}backend.{module.backend.segmenter}.'
    for name in [name for name in state if name.startswith(ours)]:
        state[prefix + name.removeprefix(ours)] = state.pop(name)


def _from_published_names(module: SAMRefiner, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Undo :func:`_to_published_names` in a state dict that is being loaded."""
    segmenter = module.backend.segmenter
    for name in getattr(module.backend, segmenter).state_dict():
        if prefix + name in state:
            state[f'{prefix}backend.{segmenter}.{name}'] = state.pop(prefix + name)


def _expected_iou(masks: np.ndarray, probabilities: Tensor) -> np.ndarray:
    return expected_iou(torch.from_numpy(masks).to(probabilities.device), probabilities).cpu().numpy()
