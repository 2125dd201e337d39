"""Replacement for ``mmcv._ext``, the compiled ops of mmcv 2, with the same names and arguments, based on torchvision.

Like the compiled ops, functions with ``output`` or ``grad_*`` arguments fill them in place. Supported are nms and
RoIAlign (average), forward and backward, on all devices of torchvision, which suffices for detectors without deformable
convolutions. Every other op raises an error that tells how to install it.

`mmcv_ops` loads this file as ``mmcv._ext``; argument names are mmcv's.

Legend: B images, N boxes or RoIs (x1, y1, x2, y2 in pixels; a RoI starts with its image index), C channels.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
import torchvision
from mmengine.logging import print_log
from torch import Tensor


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """Convert to float32 or float64: torchvision's CPU kernels lack half precision, which is too coarse for boxes."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the kept boxes by decreasing score; a box is ``x2 - x1 + offset`` wide."""
    boxes, scores = _at_least_float32(boxes, scores)
    return torchvision.ops.nms(boxes + boxes.new_tensor([0, 0, offset, offset]), scores, iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al., ICCV 2017) of ``input`` (B, C, H, W) into ``output`` (N, C, h, w)."""
    if pool_mode == 0:
        _missing("roi_align_forward(pool_mode='max')")
    features, rois = _at_least_float32(input, rois)
    size_hw = (aligned_height, aligned_width)
    output.copy_(torchvision.ops.roi_align(features, rois, size_hw, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of `roi_align_forward` with respect to ``input``."""
    grad_output, rois = _at_least_float32(grad_output, rois)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def get_compiler_version() -> str:
    return 'none (stand-in of mmrefine)'


def get_compiling_cuda_version() -> str:
    return 'not available'


def _missing(op: str) -> None:
    raise NotImplementedError(
        f'the mmcv op {op!r} needs the compiled ops of mmcv, which are not installed, and mmrefine has no replacement '
        'for it; build mmcv with its ops (pip uninstall mmcv-lite, then pip install --no-build-isolation '
        'mmcv==2.1.0), or use the maintained forks (onedl-mmcv with onedl-mmdetection or onedl-mmsegmentation)'
    )


def __getattr__(name: str) -> Any:
    """Placeholders for all other ops, which raise when called, so that ``mmcv.ops`` can be imported."""
    if name.startswith('__'):
        raise AttributeError(name)
    return lambda *args, **kwargs: _missing(name)


print_log(
    'mmcv has no compiled ops: mmrefine provides nms and RoIAlign by torchvision; other mmcv ops raise an error when '
    'they are called.',
    logger='current',
    level=logging.INFO,
)
