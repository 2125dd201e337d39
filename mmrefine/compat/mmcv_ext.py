"""Stand-in for ``mmcv._ext``, the compiled ops of mmcv 2: same names, same arguments, backed by torchvision.

Like the compiled ops, a function that has ``output`` or ``grad_*`` arguments fills them in place. Covered are nms,
soft-nms, RoIAlign (average), RoIPool and deformable convolution v1 and v2, forward and backward, on any device that
torchvision serves. Every other name is a function that raises an error naming the op and the way to get it.

`mmcv_ops` loads this file under the name ``mmcv._ext``; argument names are therefore mmcv's.

Legend: B images, N boxes or RoIs (x1, y1, x2, y2 in pixels; a RoI starts with its image index), C channels.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
import torchvision
from mmengine.logging import print_log
from torch import Tensor

_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """One common dtype: torchvision's CPU kernels know no half precision, and its 11 bits are few for coordinates."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Returns the indices of the kept boxes by falling score; a box is ``x2 - x1 + offset`` wide."""
    boxes, scores = _at_least_float32(boxes, scores)
    return torchvision.ops.nms(boxes + boxes.new_tensor([0, 0, offset, offset]), scores, iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., ICCV 2017, Fig. 2): overlap lowers a score; below ``min_score`` a box is dropped.

    Fills the first rows of ``dets`` (N, 5) with the kept boxes and their lowered scores, and returns their indices.
    """
    boxes, scores = _at_least_float32(boxes, scores)
    corners = boxes + boxes.new_tensor([0, 0, offset, offset])
    scores, waiting, kept = scores.clone(), torch.ones_like(scores, dtype=torch.bool), []
    while waiting.any():
        best = int(scores.masked_fill(~waiting, -torch.inf).argmax())
        dets[len(kept)] = torch.cat([boxes[best], scores[best, None]])
        kept.append(best)
        waiting[best] = False
        iou = torchvision.ops.box_iou(corners[best, None], corners)[0]
        if method == _GAUSSIAN:
            weight = torch.exp(-(iou**2) / sigma)
        else:
            weight = torch.where(iou >= iou_threshold, 1 - iou if method == _LINEAR else 0.0, 1.0)
        scores = torch.where(waiting, scores * weight, scores)
        waiting &= scores >= min_score
    return torch.tensor(kept, dtype=torch.long)


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


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoIPool (Girshick, ICCV 2015): the maximum per bin and its flat position in the feature map, -1 if empty.

    torchvision rounds a RoI to whole pixels first and mmcv does not, so this one follows mmcv's rounding by hand.
    """
    height, width = input.shape[-2:]
    output.zero_()
    argmax.fill_(-1)
    for n, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        rows = _bins(y1 * spatial_scale, (y2 + 1) * spatial_scale, pooled_height, height)
        columns = _bins(x1 * spatial_scale, (x2 + 1) * spatial_scale, pooled_width, width)
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(columns):
                if bottom <= top or right <= left:
                    continue
                values, index = input[int(image), :, top:bottom, left:right].flatten(1).max(dim=1)
                output[n, :, i, j] = values
                argmax[n, :, i, j] = (top + index // (right - left)) * width + left + index % (right - left)


def _bins(start: float, end: float, count: int, limit: int) -> list[tuple[int, int]]:
    """Splits [start, end) into ``count`` ranges of whole pixels, each rounded outwards and cut to [0, limit)."""
    if end <= start:
        return [(0, 0)] * count
    edges = start + (end - start) * torch.arange(count + 1, dtype=torch.float64) / count
    low, high = edges[:-1].floor().clamp(0, limit).long(), edges[1:].ceil().clamp(0, limit).long()
    return list(zip(low.tolist(), high.tolist(), strict=True))


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient of `roi_pool_forward` with respect to ``input``: each bin's goes to the pixel that was its maximum."""
    n, c, i, j = (argmax >= 0).nonzero(as_tuple=True)
    pixels = (rois[n, 0].long(), c, argmax[n, c, i, j].long())
    grad_input.flatten(2).index_put_(pixels, grad_output[n, c, i, j], accumulate=True)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Deformable convolution v1 (Dai et al., ICCV 2017), without bias."""
    input, weight, offset = _at_least_float32(input, weight, offset)
    output.copy_(
        torchvision.ops.deform_conv2d(
            input, offset, weight, None, stride=(dH, dW), padding=(padH, padW), dilation=(dilationH, dilationW)
        )
    )


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients of `deform_conv_forward` with respect to ``input`` and ``offset``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _deform_backward(gradOutput, input, weight, offset, None, geometry)
    gradInput.copy_(grads[0])
    gradOffset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Gradient of `deform_conv_forward` with respect to ``weight``, times ``scale``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    gradWeight.copy_(scale * _deform_backward(gradOutput, input, gradWeight, offset, None, geometry)[1])


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Deformable convolution v2 (Zhu et al., CVPR 2019): each sample is also weighted by ``mask``."""
    input, weight, bias, offset, mask = _at_least_float32(input, weight, bias, offset, mask)
    stride, padding, dilation = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)
    bias = bias if with_bias else None
    output.copy_(torchvision.ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Gradients of `modulated_deform_conv_forward` with respect to all of its tensors."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    grads = _deform_backward(grad_output, input, weight, offset, mask, geometry)
    filled = (grad_input, grad_weight, grad_offset, grad_mask, grad_bias)
    for target, grad in zip(filled if with_bias else filled[:-1], grads, strict=False):
        target.copy_(grad)


def _deform_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Returns the gradients of input, weight, offset, mask and bias (mask's is meaningless without a mask)."""
    use_mask = mask is not None
    mask = mask if use_mask else input.new_zeros(input.shape[0], 1)
    tensors = _at_least_float32(grad_output, input, weight, offset, mask, input.new_zeros(weight.shape[0]))
    return torch.ops.torchvision._deform_conv2d_backward(*tensors, *geometry, use_mask)


def get_compiler_version() -> str:
    return 'none (stand-in of mmrefine)'


def get_compiling_cuda_version() -> str:
    return 'not available'


def _missing(op: str) -> None:
    raise NotImplementedError(
        f'the mmcv op {op!r} needs the compiled ops of mmcv, which are not installed, and mmrefine has no stand-in '
        'for it; build mmcv with its ops (pip uninstall mmcv-lite, then pip install --no-build-isolation '
        'mmcv==2.1.0), or use the maintained forks (onedl-mmcv with onedl-mmdetection or onedl-mmsegmentation)'
    )


def __getattr__(name: str) -> Any:
    """Any other op exists, so that ``mmcv.ops`` imports whole, and raises when it is called."""
    if name.startswith('__'):
        raise AttributeError(name)
    return lambda *args, **kwargs: _missing(name)


print_log(
    'mmcv has no compiled ops: mmrefine stands in with torchvision for nms, soft-nms, RoIAlign, RoIPool and '
    'deformable convolution; calling any other mmcv op raises an error that names it.',
    logger='current',
    level=logging.INFO,
)
