"""Crops around masks: boxes, cropping with resizing, and pasting back.

Legend: N masks, H and W the image, S the side of a network crop, all in pixels. Boxes are xyxy with exclusive ends.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def mask_boxes(masks: Iterable[np.ndarray]) -> np.ndarray:
    """(N, 4) int64 tight xyxy boxes of (N, H, W) bool masks, ends exclusive; an empty mask gives zeros.

    Example:
        >>> import numpy as np
        >>> masks = np.zeros((1, 4, 6), bool)
        >>> masks[0, 1:3, 2:5] = True
        >>> mask_boxes(masks).tolist()
        [[2, 1, 5, 3]]
    """
    boxes = [cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8)) for mask in masks]
    boxes_xywh = np.array(boxes, np.int64).reshape(-1, 4)
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def fill_boxes(boxes_xyxy: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Rasterize boxes to masks, (N, H, W) bool: edges are rounded to pixel edges, and every box gets at least a pixel.

    Args:
        boxes_xyxy: (N, 4) float, in pixels; boxes are clipped to the image.
        size_hw: height and width of the image.

    Example:
        >>> import numpy as np
        >>> fill_boxes(np.array([[1.0, 0.0, 3.0, 2.0]]), (2, 4)).astype(int).tolist()
        [[[0, 1, 1, 0], [0, 1, 1, 0]]]
    """
    masks = np.zeros((len(boxes_xyxy), *size_hw), bool)
    limits = np.array([size_hw[1], size_hw[0]])
    for mask, box in zip(masks, boxes_xyxy, strict=True):
        first = np.clip(np.rint(box[:2]), 0, limits - 1).astype(np.int64)
        x1, y1 = first
        x2, y2 = np.clip(np.rint(box[2:]), first + 1, limits).astype(np.int64)
        mask[y1:y2, x1:x2] = True
    return masks


def pad_boxes(
    boxes_xyxy: np.ndarray, size_hw: tuple[int, int], margin_px: float = 0, margin_ratio: float = 0.0
) -> np.ndarray:
    """Boxes grown on every side and clipped to the image.

    Args:
        boxes_xyxy: (N, 4) int.
        size_hw: height and width of the image.
        margin_px: pixels added on each side.
        margin_ratio: further pixels on each side, as a fraction of the mean of the box's sides.
    """
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).mean(axis=1)
    margin = np.rint(margin_px + margin_ratio * sides).astype(np.int64)[:, None]
    low = np.maximum(boxes_xyxy[:, :2] - margin, 0)
    high = np.minimum(boxes_xyxy[:, 2:] + margin, np.array([size_hw[1], size_hw[0]]))
    return np.concatenate([low, high], axis=1)


def crop_resize(tensor: Tensor, box_xyxy: np.ndarray, size: int, antialias: bool = False) -> Tensor:
    """Crop ``box_xyxy`` from a (C, H, W) tensor and resize it bilinearly to (C, S, S) float."""
    x1, y1, x2, y2 = (int(value) for value in box_xyxy)
    crop = tensor[None, :, y1:y2, x1:x2].float()
    return F.interpolate(crop, (size, size), mode='bilinear', align_corners=False, antialias=antialias)[0]


def paste(probabilities: Tensor, box_xyxy: np.ndarray, border: str = 'zeros') -> Tensor:
    """Resize an (S, S) map of probabilities to its box: (y2 - y1, x2 - x1), sampled at pixel centres.

    Args:
        border: padding beyond the centres of the outermost cells. 'zeros' fades to 0, as in MMDetection and the
            published SegRefiner, which erodes masks that touch the image border; 'border' repeats the cells.
    """
    x1, y1, x2, y2 = (int(value) for value in box_xyxy)
    height, width = y2 - y1, x2 - x1
    rows = (torch.arange(height, device=probabilities.device) + 0.5) * 2 / height - 1
    columns = (torch.arange(width, device=probabilities.device) + 0.5) * 2 / width - 1
    grid = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1)
    return F.grid_sample(probabilities[None, None], grid[None], padding_mode=border, align_corners=False)[0, 0]
