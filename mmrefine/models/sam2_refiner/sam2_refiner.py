"""SAM2Refiner model: a frozen SAM 2 and three trained modules.

Legend: B images, K objects, P points of a prompt, S input size, H and W size of the original image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmrefine.models.sam2_refiner.base import (
    SAM2Features,
    build_base,
    check_base,
    encode_images,
    prompt_masks,
    stage_channels,
    take_rows,
)
from mmrefine.models.sam2_refiner.cached_encoder import CachedEncoder
from mmrefine.models.sam2_refiner.core import SAM2RefinerCore, upsample
from mmrefine.models.state_dicts import differences
from mmrefine.registry import MODELS
from mmrefine.structures import ObjectPrompt, RefineDataSample


class ObjectLogits(NamedTuple):
    """Predictions for K prompts.

    Attributes:
        logits: (K, 1, S, S), refined.
        aux: logits of Mask Refinement's blocks, of sizes S/16, S/8 and S/4; empty without it.
        coarse: (K, 1, S/4, S/4), logits of SAM 2's decoder.
        iou: (K,), their IoU as predicted by the decoder.
    """

    logits: Tensor
    aux: tuple[Tensor, ...]
    coarse: Tensor
    iou: Tensor


@MODELS.register_module()
class SAM2Refiner(BaseModel):
    """Promptable segmentation of images by SAM 2, whose masks are refined.

    The base is frozen and always in evaluation mode. The state dict contains only ``core.*``, unless ``save_base``.

    Args:
        base: a SAM 2 model, or keyword arguments of :func:`~mmrefine.models.sam2_refiner.build_base`.
        core: keyword arguments of :class:`~mmrefine.models.sam2_refiner.SAM2RefinerCore`, except the sizes.
        loss: config of a loss of logits and ground truth that returns a dictionary of losses.
        aux_weight: weight of the losses of Mask Refinement's blocks (eq. 3: 0.3).
        tile_scale: 1; 0.5 or 0 save time at some loss of detail, see :func:`local_features`; 0 skips Localization
            Augment.
        tile_chunk: maximum number of quadrants encoded together; halved if a GPU runs out of memory.
        multimask_output: SAM 2 selects the best of three masks.
        cache: keyword arguments of :class:`~mmrefine.models.backends.FeatureCache`, which stores frozen features on
            disk; useful if images repeat without random crops.
        save_base: include the base in the state dict, for export.
        data_preprocessor, init_cfg: see mmengine.
    """

    def __init__(
        self,
        base: nn.Module | Mapping[str, Any],
        core: Mapping[str, Any] | None = None,
        loss: dict | None = None,
        aux_weight: float = 0.3,
        tile_scale: float = 1.0,
        tile_chunk: int = 4,
        multimask_output: bool = False,
        cache: Mapping[str, Any] | None = None,
        save_base: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(MODELS.build(data_preprocessor or {'type': 'SAM2DataPreprocessor'}), init_cfg)
        self.base = base if isinstance(base, nn.Module) else build_base(**base)
        check_base(self.base)
        self.base.requires_grad_(False).eval()
        self.core = SAM2RefinerCore(self.base.hidden_dim, stage_channels(self.base), **(core or {}))
        self.loss_mask = MODELS.build(loss or {'type': 'PointSampledMaskLoss'})
        self.aux_weight = aux_weight
        self.tile_scale, self.tile_chunk = tile_scale, tile_chunk
        self.multimask_output = multimask_output
        self.cached = CachedEncoder(self.base, **cache) if cache else None
        self.save_base = save_base
        self.register_state_dict_post_hook(_keep_trained)
        self.register_load_state_dict_pre_hook(_check_trained)
        self.register_load_state_dict_post_hook(_miss_trained_only)

    @property
    def input_size(self) -> int:
        """S."""
        return self.base.image_size

    def init_weights(self) -> None:
        """Does nothing without ``init_cfg``: mmengine would only log every frozen weight."""
        if self.init_cfg:
            super().init_weights()

    def train(self, mode: bool = True) -> SAM2Refiner:
        """Set the mode of the trained part; the base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def encode(self, images: Tensor) -> SAM2Features:
        """Features of (B, 3, S, S) normalized images, including Localization Augment, for any number of prompts.

        Raises:
            ValueError: the size is not S, or half precision on a CPU.
        """
        return self.localize(self.encode_frozen(images))

    def encode_frozen(self, images: Tensor) -> SAM2Features:
        """First half of :meth:`encode`: the frozen encoder."""
        if images.device.type == 'cpu' and torch.float16 in (
            images.dtype,
            self.base.no_mem_embed.dtype,
            torch.get_autocast_dtype('cpu') if torch.is_autocast_enabled('cpu') else None,
        ):
            raise ValueError('SAM2Refiner does not run in float16 on a CPU; use float32, or bfloat16 autocast.')
        scale = self.tile_scale if self.core.la is not None else 0
        if self.cached:
            return self.cached(images, scale, self.tile_chunk)
        return encode_images(self.base, images, scale, self.tile_chunk)

    def localize(self, features: SAM2Features) -> SAM2Features:
        """Second half of :meth:`encode`: Localization Augment."""
        return replace(features, embedding=self.core.augment(features.embedding, features.local), local=None)

    def decode(
        self,
        features: SAM2Features,
        prompts: Sequence[ObjectPrompt],
        image_index: Sequence[int] | None = None,
        multimask_output: bool | None = None,
        refine: bool = True,
    ) -> ObjectLogits:
        """Predictions for K prompts.

        Prompts with equal numbers of points are decoded together. Prompts are never padded, since SAM 2's attention has
        no mask, so that padding points would change its masks.

        Args:
            features: output of :meth:`encode`.
            prompts: K prompts, in pixels of the input.
            image_index: index of the image of each prompt; default: one prompt per image.
            multimask_output: overrides that of the model.
            refine: False returns the upsampled masks of SAM 2.

        Raises:
            ValueError: the number of prompts or the size of a mask prompt is wrong.
        """
        multimask = self.multimask_output if multimask_output is None else multimask_output
        index = list(range(len(features.embedding))) if image_index is None else list(image_index)
        self._check_prompts(prompts, len(index))
        device = features.image.device
        features = features.take(torch.tensor(index, device=device))
        groups = defaultdict(list)
        for row, prompt in enumerate(prompts):
            groups[len(prompt.point_labels), prompt.mask_input is None].append(row)
        parts = [self._decode_equal(features, prompts, rows, multimask, refine) for rows in groups.values()]
        order = torch.tensor([row for rows in groups.values() for row in rows], device=device).argsort()
        embedding, tokens, coarse, iou, mask_index = (torch.cat(column)[order] for column in zip(*parts, strict=True))
        if not refine:
            return ObjectLogits(upsample(coarse, features.image), (), coarse, iou)
        refined = self.core.predict(
            embedding,
            tokens,
            coarse,
            mask_index,
            features.stages,
            features.fine,
            features.image,
            self.base.sam_mask_decoder,
        )
        return ObjectLogits(refined.logits, refined.aux, coarse, iou)

    def _decode_equal(
        self, features: SAM2Features, prompts: Sequence[ObjectPrompt], rows: list[int], multimask: bool, refine: bool
    ) -> tuple[Tensor, ...]:
        """Embedding and tokens after Prompt Retargeting, and SAM 2's mask, for prompts of one kind."""
        index = torch.tensor(rows, device=features.image.device)
        image_embedding = take_rows(features.embedding, index)
        fine = [take_rows(level, index) for level in features.fine]
        chosen = [prompts[row].to(features.image.device) for row in rows]
        coords = torch.stack([prompt.point_coords for prompt in chosen])
        labels = torch.stack([prompt.point_labels for prompt in chosen])
        masks = None if chosen[0].mask_input is None else torch.stack([prompt.mask_input for prompt in chosen])
        coarse = prompt_masks(self.base, image_embedding, fine, coords, labels, masks, multimask)
        embedding, tokens = coarse.state.embedding, coarse.state.output_tokens
        if refine:
            embedding, tokens = self.core.retarget(coarse.state, coords, labels, coarse.logits)
        return embedding, tokens, coarse.logits, coarse.iou, coarse.mask_index

    def _check_prompts(self, prompts: Sequence[ObjectPrompt], count: int) -> None:
        if len(prompts) != count or not count:
            raise ValueError(f'expected one prompt per image or index, {count} and at least 1, got {len(prompts)}.')
        size = (1, *self.base.sam_prompt_encoder.mask_input_size)
        for prompt in prompts:
            if prompt.mask_input is not None and tuple(prompt.mask_input.shape) != size:
                raise ValueError(
                    f'mask_input must have shape {size}, a quarter of the input, got {tuple(prompt.mask_input.shape)}.'
                )

    def forward(
        self, inputs: Tensor, data_samples: Sequence[RefineDataSample], mode: str = 'tensor'
    ) -> ObjectLogits | dict[str, Tensor] | list[RefineDataSample]:
        """mmengine's three modes.

        Args:
            inputs: (B, 3, S, S), normalized.
            data_samples: one object each: ``prompt``; for 'loss' also ``gt_masks`` (1, S, S) and a ``seed`` in its
                metainfo for the points that the loss samples; for 'predict' ``ori_shape`` there.
            mode: 'tensor' returns :class:`ObjectLogits`; 'loss' a dictionary; 'predict' the samples with
                ``refined_masks``, ``coarse_masks`` (of SAM 2) at ``ori_shape``, and ``scores``. There is no gate, since
                no coarse mask was given that could be kept, and no field ``accepted``.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}.")
        frozen, prompts = self.encode_frozen(inputs), [sample.prompt for sample in data_samples]
        predictions = self.decode(self.localize(frozen), prompts)
        if mode == 'tensor':
            return predictions
        if mode == 'loss':
            return self._losses(predictions, data_samples)
        # Localization Augment also changes the masks of SAM 2's decoder.
        return self._results(predictions, self.decode(frozen, prompts, refine=False), data_samples)

    def _losses(self, predictions: ObjectLogits, samples: Sequence[RefineDataSample]) -> dict[str, Tensor]:
        """Eq. 3: losses of the final logits and of every block of Mask Refinement."""
        target = torch.stack([torch.as_tensor(sample.gt_masks, device=predictions.logits.device) for sample in samples])
        if target.shape != predictions.logits.shape:
            raise ValueError(
                f'expected gt_masks of shape {tuple(predictions.logits.shape)}, got {tuple(target.shape)}.'
            )
        seeds = [sample.metainfo.get('seed') for sample in samples]
        draws = None if None in seeds else [torch.Generator().manual_seed(seed) for seed in seeds]
        losses = {f'loss_{name}': loss for name, loss in self.loss_mask(predictions.logits, target, draws).items()}
        for k, logits in enumerate(predictions.aux, start=1):
            for name, loss in self.loss_mask(logits, target, draws).items():
                losses[f'loss_aux{k}_{name}'] = self.aux_weight * loss
        return losses

    @staticmethod
    def _results(
        predictions: ObjectLogits, plain: ObjectLogits, samples: Sequence[RefineDataSample]
    ) -> list[RefineDataSample]:
        """Masks at the original size."""
        for k, sample in enumerate(samples):
            for field, logits in (('refined_masks', predictions.logits), ('coarse_masks', plain.coarse)):
                full = F.interpolate(logits[k : k + 1].float(), sample.ori_shape, mode='bilinear', align_corners=False)
                sample.set_field((full[0] > 0).cpu().numpy(), field)
            sample.scores = predictions.iou[k : k + 1].detach().float().clamp(0, 1).cpu().numpy()
        return list(samples)


def _keep_trained(module: SAM2Refiner, state: dict[str, Tensor], prefix: str, metadata: dict) -> None:
    """Remove the base from a state dict: its weights come from its own checkpoint."""
    if module.save_base:
        return
    for part in (state, getattr(state, '_metadata', {})):
        for name in [name for name in part if name.startswith(f'{prefix}base.')]:
            del part[name]


def _check_trained(module: SAM2Refiner, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Refuse an incomplete checkpoint or one of another size; mmengine would only warn."""
    core, base = (
        {f'{prefix}{part}.{name}': value for name, value in getattr(module, part).state_dict().items()}
        for part in ('core', 'base')
    )
    given = {name: value for name, value in state.items() if name.startswith((f'{prefix}core.', f'{prefix}base.'))}
    problem = differences({**core, **base}, given, optional=base.keys())
    if problem:
        raise ValueError(
            f'the checkpoint does not belong to this SAM2Refiner: {problem}. Check that base and core of the config '
            'are those of its training.'
        )


def _miss_trained_only(module: SAM2Refiner, incompatible: Any) -> None:
    """Do not report keys that :func:`_keep_trained` removes as missing."""
    incompatible.missing_keys[:] = [name for name in incompatible.missing_keys if 'base' not in name.split('.')]
