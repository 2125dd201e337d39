"""Original images of predictions, from files or from the network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmrefine.files.images import read_image

FALLBACKS = (None, 'network_input')


def image_of(sample: BaseDataElement, data: Any, index: int, fallback: str | None = None) -> np.ndarray:
    """Original image of a prediction, (H, W, 3) uint8 RGB.

    Args:
        sample: data sample with ``img_path`` in its metainfo.
        data: the batch from which the model predicted.
        index: index of the sample in the batch.
        fallback: what to use if the file does not exist: 'network_input' for :func:`network_input_image`; None: raise
            an error.

    Raises:
        FileNotFoundError, ValueError: there is no path or file and no fallback, or the file is not an image.
    """
    path = sample.metainfo.get('img_path')
    try:
        if path is None:
            raise FileNotFoundError('the image of the prediction is unknown, because img_path is not in its metainfo')
        return read_image(path)
    except FileNotFoundError as error:
        if fallback == 'network_input':
            return network_input_image(sample, data, index)
        raise FileNotFoundError(
            f'{str(error).rstrip(".")}; masks are refined on the original image: correct the path (and keep '
            "'img_path' in the meta_keys of the packing transform), pass the images to refine_predictions, or set "
            "fallback='network_input'."
        ) from error


def network_input_image(sample: BaseDataElement, data: Any, index: int) -> np.ndarray:
    """Network input without padding, resized to the original image: (H, W, 3) uint8 RGB.

    Images in a batch are BGR in 0..255, as OpenMMLab's pipelines load and pack them; the data preprocessor normalizes
    them later. If a pipeline has normalized them, this is undone with ``img_norm_cfg`` of the metainfo.

    Raises:
        ValueError: the batch has no single unflipped images, as in test-time augmentation, or the normalization is
            unknown.
    """
    inputs = data.get('inputs') if isinstance(data, Mapping) else None
    image = inputs[index] if inputs is not None and index < len(inputs) else None
    if not isinstance(image, torch.Tensor) or image.ndim != 3 or sample.metainfo.get('flip'):
        raise ValueError(
            "fallback='network_input' needs one unflipped image per prediction, which batches of test-time "
            'augmentation do not contain; keep the original images on disk.'
        )
    pixels = image.permute(1, 2, 0).float().cpu().numpy()
    pixels = _denormalized(pixels, sample.metainfo.get('img_norm_cfg'), image.is_floating_point())
    height, width = sample.ori_shape[:2]
    if 'scale_factor' in sample.metainfo:
        scale_x, scale_y = sample.scale_factor
        pixels = pixels[: max(1, round(height * scale_y)), : max(1, round(width * scale_x))]
    pixels = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_LINEAR)
    return pixels.round().clip(0, 255).astype(np.uint8)


def _denormalized(pixels: np.ndarray, norm: Mapping | None, is_float: bool) -> np.ndarray:
    """Undo the normalization: RGB in 0..255."""
    if norm is not None:
        pixels = pixels * np.asarray(norm['std'], np.float32) + np.asarray(norm['mean'], np.float32)
        return pixels if norm.get('to_rgb') else pixels[..., ::-1]
    if is_float and (pixels.min() < 0 or pixels.max() <= 1):
        raise ValueError(
            f'the network input has values from {pixels.min():.3g} to {pixels.max():.3g}, expected 0 to 255 without '
            "img_norm_cfg; keep the original images on disk, or add 'img_norm_cfg' to the meta_keys."
        )
    return pixels[..., ::-1]
