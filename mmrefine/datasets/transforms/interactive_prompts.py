"""Transforms for training interactive segmentation: resizing to the model's input, prompts, packing.

All randomness comes from ``results['rng']``; a transform returns None if no object is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.core.prompt_sampling import noisy_box, noisy_mask_logits, random_points
from mmrefine.datasets.transforms.packing import PackRefineInputs
from mmrefine.registry import TRANSFORMS
from mmrefine.structures import ObjectPrompt

_KINDS = ('box', 'points', 'mask')


def _resize(array: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Resize an image, or a bool mask with a threshold of 0.5."""
    smaller = size_wh[0] * size_wh[1] < array.shape[0] * array.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    if array.dtype == bool:
        return cv2.resize(array.astype(np.float32), size_wh, interpolation=method) >= 0.5
    return cv2.resize(array, size_wh, interpolation=method)


@TRANSFORMS.register_module()
class LargeScaleJitter(BaseTransform):
    """Resize image and masks by a random scale, then crop or pad them to a square.

    Args:
        size: side of the square in pixels.
        scale: min and max length of the resized longer side, relative to ``size``.
        pad_value: padding value of the image; masks are padded with background.
    """

    def __init__(self, size: int, scale: tuple[float, float] = (0.1, 2.0), pad_value: int = 128):
        self.size, self.scale, self.pad_value = size, tuple(scale), pad_value

    def transform(self, results: dict) -> dict | None:
        rng, (height, width) = results['rng'], results['img'].shape[:2]
        factor = self.size * rng.uniform(*self.scale) / max(height, width)
        scaled_hw = [max(1, round(side * factor)) for side in (height, width)]
        starts = [int(rng.integers(max(side - self.size, 0) + 1)) for side in scaled_hw]
        window = tuple(slice(start, start + self.size) for start in starts)
        results['img'] = self._to_input(_resize(results['img'], scaled_hw[::-1])[window], self.pad_value)
        masks = [self._to_input(_resize(mask, scaled_hw[::-1])[window], False) for mask in results['gt_masks']]
        results['gt_masks'] = np.stack(masks)
        return results if all(mask.any() for mask in masks) else None

    def _to_input(self, array: np.ndarray, value: int) -> np.ndarray:
        canvas = np.full((self.size, self.size, *array.shape[2:]), value, array.dtype)
        canvas[: array.shape[0], : array.shape[1]] = array
        return canvas


@TRANSFORMS.register_module()
class SquareResize(BaseTransform):
    """Stretch image and masks to a square, as SAM 2 does, and scale the prompt if there is one.

    Args:
        size: side of the square in pixels.
        keep_masks: keep masks at the original size, for evaluation.
    """

    def __init__(self, size: int, keep_masks: bool = False):
        self.size, self.keep_masks = size, keep_masks

    def transform(self, results: dict) -> dict | None:
        height, width = results['img'].shape[:2]
        results['img'] = _resize(results['img'], (self.size, self.size))
        if 'prompt' in results:
            results['prompt'] = results['prompt'].scaled(self.size / width, self.size / height)
        if self.keep_masks:
            return results
        results['gt_masks'] = np.stack([_resize(mask, (self.size, self.size)) for mask in results['gt_masks']])
        return results if results['gt_masks'].any(axis=(1, 2)).all() else None


@TRANSFORMS.register_module()
class SamplePrompts(BaseTransform):
    """Sample a ``prompt`` from ``gt_masks`` (1, H, W), of one of several kinds with equal probability.

    Args:
        kinds: some of 'box', 'points' and 'mask'.
        box_noise: see :func:`~mmrefine.core.prompt_sampling.noisy_box`; HQ-SAM trains with 0.
        num_points, positive_share: see :func:`~mmrefine.core.prompt_sampling.random_points`; HQ-SAM trains with
            (10, 10) and 1.
        mask_side: side of the model's mask prompts, a quarter of its input.

    Raises:
        ValueError: an unknown kind, or more than one mask.
    """

    def __init__(
        self,
        kinds: Sequence[str] = _KINDS,
        box_noise: float = 0.1,
        num_points: tuple[int, int] = (1, 10),
        positive_share: float = 0.5,
        mask_side: int = 256,
    ):
        if not kinds or set(kinds) - set(_KINDS):
            raise ValueError(f'kinds must name some of {_KINDS}, got {tuple(kinds)}.')
        self.kinds = tuple(kinds)
        self.box_noise = box_noise
        self.num_points, self.positive_share = tuple(num_points), positive_share
        self.mask_side = mask_side

    def transform(self, results: dict) -> dict | None:
        rng, masks = results['rng'], results['gt_masks']
        if len(masks) != 1:
            raise ValueError(f'a prompt needs exactly one mask, got {len(masks)}; use per="object" in the dataset.')
        if not masks[0].any():
            return None
        kind = self.kinds[rng.integers(len(self.kinds))]
        if kind == 'box':
            prompt = ObjectPrompt.of(box=noisy_box(masks[0], rng, self.box_noise))
        elif kind == 'points':
            prompt = ObjectPrompt.of(*random_points(masks[0], rng, self.num_points, self.positive_share))
        else:
            prompt = ObjectPrompt.of(mask_input=noisy_mask_logits(masks[0], rng, self.mask_side))
        results['prompt'] = prompt
        return results


@TRANSFORMS.register_module()
class PackInteractiveInputs(PackRefineInputs):
    """:class:`PackRefineInputs` that also packs the ``prompt``."""

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        packed['data_samples'].prompt = results['prompt']
        return packed
