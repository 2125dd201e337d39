"""SegRefiner: refinement as discrete diffusion over pixel states (NeurIPS 2023), on object crops.

Legend: N masks of one image, B masks of one network batch, S side of the network's input in pixels, T steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmrefine.core.checks import IMAGENET_MEAN, IMAGENET_STD
from mmrefine.core.colour_cue import colour_cue
from mmrefine.core.components import components_on
from mmrefine.core.contour_windows import blending_weights, contour_windows
from mmrefine.core.crops import crop_resize, mask_boxes, pad_boxes, paste
from mmrefine.core.diffusion import DiffusionSchedule, ReverseResult, reverse_process
from mmrefine.core.expected_iou import boundary_sharpness, expected_iou, mask_stability
from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal, RefineInput
from mmrefine.registry import MODELS
from mmrefine.structures import RefineDataSample

_WINDOW_RATIO = 1.5
_MEAN, _STD = (tuple(255 * value for value in values) for values in (IMAGENET_MEAN, IMAGENET_STD))


@dataclass(frozen=True)
class _CropJob:
    """One mask to refine: its indices, crop and random generator."""

    image: int
    mask: int
    box_xyxy: np.ndarray
    generator: torch.Generator


class Condition(NamedTuple):
    """Inputs of the denoiser besides x_t, the same at every timestep.

    Attributes:
        planes: (B, 3 + cues, h, w) float32, normalized RGB and cues.
        features: the image encoder's levels, each (B, C, h / stride, w / stride); None without an encoder.
    """

    planes: Tensor
    features: Sequence[Tensor] | None = None


@MODELS.register_module()
class SegRefiner(BaseRefiner):
    """SegRefiner on object crops of a fixed size, which are pasted back (the paper's LR model).

    Args:
        denoiser: config of the denoising network, whose ``in_channels`` are 3 (RGB), 1 (mask) and one per cue.
        encoder: config of an image encoder that runs once per crop, and whose ``channels`` are ``feature_channels`` of
            the denoiser; None, as in the paper: there is no encoder.
        schedule: keyword arguments of :class:`~mmrefine.core.diffusion.DiffusionSchedule`.
        input_size: side S of the network's input.
        margin_px, margin_ratio: margin around the coarse mask's box, see :func:`~mmrefine.core.crops.pad_boxes`.
        min_area: smaller coarse masks, in pixels, are kept with score 0.
        cues: keyword arguments of :func:`~mmrefine.core.colour_cue.colour_cue` for each cue.
        steps: timesteps of the reverse process, descending; None: all of T-1 .. 0, as in the paper.
        confidence_power: see :meth:`mmrefine.core.diffusion.DiffusionSchedule.step`.
        window_steps: timesteps for windows of S pixels at native resolution along the refined contour, if the crop is
            larger than 1.5 S, as in the paper's HR model; ``()``: no windows.
        only_connected: drop components of a refined mask that do not overlap the coarse mask; not in the paper.
        final_step_prob: probability of t = T-1 in training, at which the network sees the coarse mask only; otherwise t
            is uniformly distributed, as in the paper (0).
        losses: losses on the logits by name.
        max_batch: maximum number of masks in a batch of the network; 0: no limit. Except for rounding, results do not
            depend on it.
        antialias: low-pass filter when crops are downsampled; False for the published models.
        paste_border: see :func:`~mmrefine.core.crops.paste`.
        mean, std: mean and standard deviation of the RGB channels.
        gate, data_preprocessor, init_cfg: see :class:`BaseRefiner`.
    """

    def __init__(
        self,
        denoiser: dict,
        encoder: dict | None = None,
        schedule: dict | None = None,
        input_size: int = 256,
        margin_px: float = 20,
        margin_ratio: float = 0.0,
        min_area: float = 512,
        cues: Sequence[dict] = (),
        steps: Sequence[int] | None = None,
        confidence_power: float = 1.0,
        window_steps: Sequence[int] = (),
        only_connected: bool = False,
        final_step_prob: float = 0.0,
        losses: dict[str, dict] | None = None,
        max_batch: int = 8,
        antialias: bool = False,
        paste_border: str = 'zeros',
        mean: Sequence[float] = _MEAN,
        std: Sequence[float] = _STD,
        gate: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(gate, data_preprocessor, init_cfg)
        self.image_encoder = None if encoder is None else MODELS.build(encoder)
        if self.image_encoder is not None:
            denoiser = {'feature_channels': self.image_encoder.channels, **denoiser}
        self.denoise_model = MODELS.build(denoiser)
        self.schedule = DiffusionSchedule(**(schedule or {}))
        self.input_size = input_size
        self.margin_px, self.margin_ratio, self.min_area = margin_px, margin_ratio, min_area
        self.cues = tuple(cues)
        self.steps = self._check_steps(steps, self.schedule.num_steps)
        self.confidence_power = confidence_power
        self.window_steps = tuple(window_steps)
        self.only_connected = only_connected
        self.final_step_prob = final_step_prob
        losses = losses or {'loss_mask': {'type': 'MaskBCELoss'}, 'loss_texture': {'type': 'TextureL1Loss'}}
        self.losses = torch.nn.ModuleDict({name: MODELS.build(loss) for name, loss in losses.items()})
        self.max_batch = max_batch
        self.antialias, self.paste_border = antialias, paste_border
        self._register_load_state_dict_pre_hook(self._drop_published_kernels)
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(3, 1, 1), persistent=False)

    @staticmethod
    def _check_steps(steps: Sequence[int] | None, num_steps: int) -> tuple[int, ...]:
        steps = tuple(range(num_steps - 1, -1, -1) if steps is None else steps)
        falling = all(first > second for first, second in zip(steps, steps[1:], strict=False))
        if not steps or not falling or steps[0] != num_steps - 1 or steps[-1] < 0:
            raise ValueError(
                f'steps must be descending and start at {num_steps - 1}, where every pixel is coarse, got {steps}.'
            )
        return steps

    @staticmethod
    def _drop_published_kernels(state_dict: dict, prefix: str, *args) -> None:
        """Drop the constant Sobel kernels of the loss in published checkpoints."""
        for axis in 'xy':
            state_dict.pop(f'{prefix}loss_texture.sobel.conv_{axis}.weight', None)

    @classmethod
    def config_for_checkpoint(cls, config: dict) -> dict:
        """Config without the pretrained weights of the encoder, which the checkpoint contains."""
        encoder = config.get('encoder')
        if encoder is None:
            return config
        start = ('pretrained', 'weights', 'converter')
        return {**config, 'encoder': {key: value for key, value in encoder.items() if key not in start}}

    # ---- network ----------------------------------------------------------------------------------------------------

    def condition(self, images: Tensor, coarse: Tensor) -> Condition:
        """Inputs of the network besides x_t.

        Args:
            images: (B, 3, h, w) RGB in 0..255.
            coarse: (B, 1, h, w), 0 or 1.
        """
        normalized = (images.float() - self.mean) / self.std
        features = None
        if self.image_encoder is not None:
            features = self.image_encoder(normalized.contiguous(memory_format=torch.channels_last))
        return Condition(torch.cat([normalized, self._cue_planes(images, coarse)], dim=1), features)

    def _cue_planes(self, images: Tensor, coarse: Tensor) -> Tensor:
        """(B, cues, h, w) float32 in [-1, 1]."""
        pixels = images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        masks = coarse[:, 0].bool().cpu().numpy()
        planes = np.zeros((len(images), len(self.cues), *images.shape[2:]), np.float32)
        for own, image, mask in zip(planes, pixels, masks, strict=True):
            for plane, cue in zip(own, self.cues, strict=True):
                plane[:] = colour_cue(image, mask, **cue)
        return torch.from_numpy(planes).to(images.device)

    def denoise(self, condition: Condition, x_t: Tensor, t: Tensor) -> Tensor:
        """Logits (B, 1, h, w) of the ground-truth masks; the partly coarse mask, 0 or 1, is the fourth channel."""
        planes = condition.planes
        inputs = torch.cat([planes[:, :3], x_t.float(), planes[:, 3:]], dim=1)
        if condition.features is None:
            return self.denoise_model(inputs, t)
        return self.denoise_model(inputs.contiguous(memory_format=torch.channels_last), t, condition.features)

    # ---- training ---------------------------------------------------------------------------------------------------

    def forward(
        self, inputs: Sequence[Tensor] | Tensor, data_samples: Sequence[RefineDataSample], mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[RefineDataSample] | Tensor:
        """mmengine's three modes.

        Args:
            inputs: 'loss' and 'tensor': B uint8 crops (3, S, S); 'predict': images (3, H, W) uint8.
            data_samples: 'loss': ``coarse_masks`` and ``gt_masks`` (1, S, S), and a random ``seed``.
            mode: 'loss', 'predict', or 'tensor' (logits at t = T-1).
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        images = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        coarse = torch.stack([sample.coarse_masks for sample in data_samples]).to(images.device).float()
        condition = self.condition(images, coarse)
        if mode == 'tensor':
            last = torch.full((len(images),), self.schedule.num_steps - 1, device=images.device)
            return self.denoise(condition, coarse, last)
        if mode != 'loss':
            raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}.")
        target = torch.stack([sample.gt_masks for sample in data_samples]).to(images.device).float()
        timesteps, uniform = self._training_draws([sample.get('seed') for sample in data_samples], coarse.shape[-2:])
        return self.loss(condition, coarse, target, timesteps.to(images.device), uniform.to(images.device))

    def loss(
        self, condition: Condition, coarse: Tensor, target: Tensor, timesteps: Tensor, uniform: Tensor
    ) -> dict[str, Tensor]:
        """Losses of one batch, given all random numbers.

        Args:
            condition: see :meth:`condition`.
            coarse, target, uniform: (B, 1, h, w).
            timesteps: (B,) int64.
        """
        x_t = self.schedule.add_noise(target, coarse, timesteps, uniform)
        logits = self.denoise(condition, x_t, timesteps).float()
        losses = {name: loss(logits, target) for name, loss in self.losses.items()}
        with torch.no_grad():
            predicted, gt = logits >= 0, target >= 0.5
            union = (predicted | gt).sum(dim=(1, 2, 3)).clamp(min=1)
            losses['iou'] = ((predicted & gt).sum(dim=(1, 2, 3)) / union).mean()
        return losses

    def _training_draws(self, seeds: Sequence[int | None], size_hw: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Timesteps (B,) and uniform random numbers (B, 1, h, w), from the seed of each sample."""
        timesteps, noise = [], []
        for seed in seeds:
            generator = None if seed is None else torch.Generator().manual_seed(seed)
            final = torch.rand((), generator=generator) < self.final_step_prob
            t = torch.randint(self.schedule.num_steps, (), generator=generator)
            timesteps.append(torch.where(final, self.schedule.num_steps - 1, t))
            noise.append(torch.rand((1, *size_hw), generator=generator))
        return torch.stack(timesteps), torch.stack(noise)

    # ---- refining ---------------------------------------------------------------------------------------------------

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[Proposal]:
        proposals = [self._no_proposal(item.masks) for item in inputs]
        jobs = list(self._jobs(inputs))
        size = self.max_batch if self.max_batch > 0 else max(len(jobs), 1)
        for start in range(0, len(jobs), size):
            chunk = jobs[start : start + size]
            crops = [self._crop(inputs[job.image], job) for job in chunk]
            images, coarse = (torch.stack(parts).to(self.device) for parts in zip(*crops, strict=True))
            denoised = self._reverse(images, coarse, self.steps, [job.generator for job in chunk])
            sharpness = boundary_sharpness(denoised.result[:, 0])
            stability = mask_stability(denoised.first[:, 0], denoised.result[:, 0])
            for index, job in enumerate(chunk):
                proposal = proposals[job.image]
                refined, first_probs = denoised.result[index, 0].cpu(), denoised.first[index, 0]
                x1, y1, x2, y2 = job.box_xyxy
                target = proposal.masks[job.mask]
                target[:] = False
                target[y1:y2, x1:x2] = (paste(refined, job.box_xyxy, self.paste_border) >= 0.5).numpy()
                self._finish(inputs[job.image], job, target)
                # From the first timestep, because later predictions are overconfident about their own samples.
                proposal.scores[job.mask] = float(expected_iou(denoised.result[index, 0] >= 0.5, first_probs))
                proposal.coarse_scores[job.mask] = float(expected_iou(coarse[index, 0] >= 0.5, first_probs))
                proposal.evidence['sharpness'][job.mask] = float(sharpness[index])
                proposal.evidence['stability'][job.mask] = float(stability[index])
        return proposals

    def _no_proposal(self, masks: np.ndarray) -> Proposal:
        """Initial proposals: the coarse masks with score 0, and refusals of those that are too small."""
        areas_px = np.count_nonzero(masks, axis=(1, 2))
        refusals = [
            f'coarse mask is too small: {area_px} px, needs {self.min_area:g}' if area_px < self.min_area else ''
            for area_px in areas_px.tolist()
        ]
        scores, coarse_scores, sharpness, stability = np.zeros((4, len(masks)), np.float32)
        evidence = {'sharpness': sharpness, 'stability': stability}
        return Proposal(masks.copy(), scores, coarse_scores, evidence, refusals)

    def _jobs(self, inputs: Sequence[RefineInput]) -> Iterator[_CropJob]:
        """A job with its own generator for each mask that is large enough."""
        for image_index, item in enumerate(inputs):
            boxes = pad_boxes(mask_boxes(item.masks), item.image.shape[:2], self.margin_px, self.margin_ratio)
            areas_px = np.count_nonzero(item.masks, axis=(1, 2))
            seeds = torch.randint(2**62, (len(item.masks),), generator=item.generator).tolist()
            for mask_index, (box, area_px, seed) in enumerate(zip(boxes, areas_px, seeds, strict=True)):
                if area_px >= self.min_area:
                    yield _CropJob(image_index, mask_index, box, torch.Generator().manual_seed(seed))

    def _crop(self, item: RefineInput, job: _CropJob) -> tuple[Tensor, Tensor]:
        """Image (3, S, S) in 0..255 and mask (1, S, S), 0 or 1, of a job."""
        x1, y1, x2, y2 = job.box_xyxy
        local_box = np.array([0, 0, x2 - x1, y2 - y1])
        image = torch.from_numpy(item.image[y1:y2, x1:x2].copy()).permute(2, 0, 1)
        mask = torch.from_numpy(item.masks[job.mask, y1:y2, x1:x2].copy())[None]
        image = crop_resize(image, local_box, self.input_size, self.antialias)
        return image, (crop_resize(mask, local_box, self.input_size) >= 0.5).float()

    def _finish(self, item: RefineInput, job: _CropJob, mask: np.ndarray) -> None:
        """Post-process ``mask`` (H, W) in place: windows if it is large, and connected components."""
        x1, y1, x2, y2 = job.box_xyxy
        # This box contains all windows, so that memory depends on the object and not on the image.
        box = pad_boxes(job.box_xyxy[None], item.image.shape[:2], margin_px=self.input_size // 2)[0]
        region = (slice(box[1], box[3]), slice(box[0], box[2]))
        if self.window_steps and max(x2 - x1, y2 - y1) > _WINDOW_RATIO * self.input_size:
            self._refine_windows(item.image[region], mask[region], job.generator)
        if self.only_connected:
            mask[region] = components_on(mask[region], item.masks[job.mask][region])

    def _refine_windows(self, image: np.ndarray, mask: np.ndarray, generator: torch.Generator) -> None:
        """Refine ``mask`` (H, W) in place on windows at native resolution, which are blended where they overlap."""
        windows = contour_windows(mask, self.input_size)
        weights = torch.from_numpy(blending_weights(self.input_size))
        total, weight = torch.zeros((2, *mask.shape))
        size = self.max_batch if self.max_batch > 0 else max(len(windows), 1)
        for start in range(0, len(windows), size):
            chunk = windows[start : start + size]
            regions = [(slice(y1, y2), slice(x1, x2)) for x1, y1, x2, y2 in chunk.tolist()]
            images = torch.stack([torch.from_numpy(image[region].copy()).permute(2, 0, 1) for region in regions])
            coarse = torch.stack([torch.from_numpy(mask[region].copy())[None] for region in regions])
            generators = [generator] * len(chunk)
            result = self._reverse(
                images.to(self.device).float(), coarse.to(self.device).float(), self.window_steps, generators
            ).result
            for region, probabilities in zip(regions, result[:, 0].cpu(), strict=True):
                total[region] += weights * probabilities
                weight[region] += weights
        refined = (total >= 0.5 * weight).numpy()
        mask[:] = np.where(weight.numpy() > 0, refined, mask)

    def _reverse(
        self, images: Tensor, coarse: Tensor, steps: Sequence[int], generators: Sequence[torch.Generator]
    ) -> ReverseResult:
        """The reverse process over ``steps``; see :func:`~mmrefine.core.diffusion.reverse_process`."""
        condition = self.condition(images, coarse)
        return reverse_process(
            self.schedule,
            lambda x_t, t: self.denoise(condition, x_t, t),
            coarse,
            steps,
            lambda: self._uniform(coarse.shape[1:], generators).to(coarse.device),
            confidence_power=self.confidence_power,
        )

    @staticmethod
    def _uniform(shape: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
        """Samples of U(0, 1), (B, *shape); each mask has its own generator, so that results are independent."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in generators])
