"""Refinement of data samples predicted by MMDetection and MMSegmentation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmrefine.apis.inferencer import DEFAULT_MODEL, ImageLike, get_refiner
from mmrefine.engine.prediction_refiner import PredictionRefiner
from mmrefine.files.images import read_image
from mmrefine.models.refiners import BaseRefiner
from mmrefine.utils import counted

_CHANNEL_ORDERS = ('bgr', 'rgb')


def refine_predictions(
    samples: BaseDataElement | Sequence[BaseDataElement],
    images: ImageLike | Sequence[ImageLike] | None = None,
    model: str | os.PathLike | dict | BaseRefiner = DEFAULT_MODEL,
    *,
    device: str | torch.device | None = None,
    gate: bool | Mapping = True,
    dataset_meta: Mapping | None = None,
    channel_order: str = 'bgr',
    **options: Any,
) -> BaseDataElement | list[BaseDataElement]:
    """Refine predictions of MMDetection and MMSegmentation: instance masks, semantic and panoptic maps.

    docs/test_time.md describes how each type of prediction is refined.

    Args:
        samples: a ``DetDataSample``, ``SegDataSample`` or ``TrackDataSample``, or a list of these, as returned by
            ``inference_detector``, ``inference_model`` and inferencers (``return_datasamples=True``). They are not
            changed.
        images: the original images, one per sample: paths or (H, W, 3) uint8 arrays; for a ``TrackDataSample`` a list
            with one image per frame. None: the files in ``img_path`` of the samples.
        model: name of a bundled model, a config or a refiner, see :func:`mmrefine.refine`.
        device: device of the refiner; None: a GPU if there is one.
        gate: see :func:`mmrefine.refine`.
        dataset_meta: ``dataset_meta`` of the predicting model. Its ``classes`` are needed to select classes by name,
            to find the background of semantic maps, and for panoptic maps.
        channel_order: channel order of arrays: ``'bgr'``, as mmcv loads images, or ``'rgb'``.
        options: ``classes``, ``score_thr``, ``area_range``, ``top_k`` and ``rescore`` of
            :class:`~mmrefine.engine.RefineHook`.

    Returns:
        a copy of the sample with refined masks, or a list of copies in the same order.

    Raises:
        FileNotFoundError: an image was not given and its file does not exist.
        TypeError, ValueError: samples without predictions, images that do not match them, or unknown options.

    Example:
        The sample would come from ``inference_detector(detector, image)``; here it is written by hand:

        >>> import numpy as np, torch
        >>> from mmengine.structures import BaseDataElement, InstanceData
        >>> image = np.full((96, 128, 3), 30, np.uint8)
        >>> image[24:72, 32:96] = 220
        >>> masks = torch.zeros(1, 96, 128, dtype=torch.bool)
        >>> masks[0, 28:76, 28:92] = True
        >>> sample = BaseDataElement(pred_instances=InstanceData(masks=masks))
        >>> refined = refine_predictions(sample, image, device='cpu')
        >>> refined.pred_instances.masks.shape
        torch.Size([1, 96, 128])
    """
    if channel_order not in _CHANNEL_ORDERS:
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}.")
    if isinstance(samples, BaseDataElement):
        images = None if images is None else [images]
        return refine_predictions(
            [samples], images, model, device=device, gate=gate, dataset_meta=dataset_meta,
            channel_order=channel_order, **options
        )[0]  # fmt: skip
    wrong = samples if isinstance(samples, (list, tuple)) else [samples]
    wrong = sorted({type(sample).__name__ for sample in wrong if not isinstance(sample, BaseDataElement)})
    if wrong:
        raise TypeError(
            'samples must be a data sample of MMDetection or MMSegmentation or a list of them, got '
            f'{", ".join(wrong)}; inferencers return data samples with return_datasamples=True.'
        )
    if images is None:
        images = [None] * len(samples)
    elif isinstance(images, (np.ndarray, str, os.PathLike)) or len(images) != len(samples):
        got = 'one image' if isinstance(images, (np.ndarray, str, os.PathLike)) else counted(len(images), 'image')
        raise ValueError(f'a list of {counted(len(samples), "sample")} needs a list of as many images, got {got}.')
    refine = PredictionRefiner.from_options(
        get_refiner(model, device, gate), (dataset_meta or {}).get('classes'), **options
    )
    refined = []
    for sample, image in zip(samples, images, strict=True):  # one by one, to bound memory
        _check_frames(sample, image)
        refined += refine([sample], images=[_as_rgb(image, channel_order)])
    return refined


def _check_frames(sample: BaseDataElement, image: Any) -> None:
    """Check that a clip has a list with one image per frame.

    Raises:
        ValueError: it has one image, or another number of images.
    """
    frames = getattr(sample, 'video_data_samples', None)
    if frames is None or image is None:
        return
    if not isinstance(image, (list, tuple)) or len(image) != len(frames):
        got = counted(len(image), 'image') if isinstance(image, (list, tuple)) else type(image).__name__
        raise ValueError(f'a clip of {counted(len(frames), "frame")} needs a list of as many images, got {got}.')


def _as_rgb(image: Any, channel_order: str) -> Any:
    """Convert an image, or a list with the images of a clip, to RGB arrays; None stays None."""
    if image is None:
        return None
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, (list, tuple)):
        return [_as_rgb(frame, channel_order) for frame in image]
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        got = f'{image.dtype} {image.shape}' if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f'an image must be a path or an (H, W, 3) uint8 array, got {got}.')
    return np.ascontiguousarray(image[..., ::-1]) if channel_order == 'bgr' else image
