"""Crops for training. Randomness comes from ``results['rng']``; transforms return None without a usable object."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.core.crops import mask_boxes, pad_boxes
from mmrefine.core.object_crop import random_object_crop
from mmrefine.registry import TRANSFORMS


def _cut(results: dict, box_xyxy: np.ndarray, size_wh: tuple[int, int] | None = None, antialias: bool = True) -> dict:
    """Crop and resize image and masks, by area or bilinear; masks are thresholded at 0.5."""
    x1, y1, x2, y2 = (int(value) for value in box_xyxy)
    size_wh = size_wh or (x2 - x1, y2 - y1)
    smaller = size_wh[0] * size_wh[1] < (x2 - x1) * (y2 - y1)
    method = cv2.INTER_AREA if smaller and antialias else cv2.INTER_LINEAR
    results['img'] = cv2.resize(results['img'][y1:y2, x1:x2], size_wh, interpolation=method)
    for key in ('gt_masks', 'coarse_masks'):
        if key in results:
            planes = [
                cv2.resize(mask[y1:y2, x1:x2].astype(np.float32), size_wh, interpolation=method) >= 0.5
                for mask in results[key]
            ]
            results[key] = np.stack(planes)
    return results


@TRANSFORMS.register_module()
class ChooseObject(BaseTransform):
    """Keep one random object of ``instances``; must come before the transform that loads masks."""

    def transform(self, results: dict) -> dict | None:
        instances = results['instances']
        if not instances:
            return None
        results['instances'] = [instances[results['rng'].integers(len(instances))]]
        return results


@TRANSFORMS.register_module()
class ObjectWindow(BaseTransform):
    """Crop a large window around the object, in which coarse masks are simulated.

    Args:
        margin_ratio: margin on each side, as a fraction of the object's mean side.
        max_side: maximum side of the window in pixels; larger windows are downsampled.
        min_side: minimum shorter side of the object in pixels.
        min_fill: minimum fraction of its box that the object fills, to exclude scattered regions.
    """

    def __init__(self, margin_ratio: float = 0.6, max_side: int = 288, min_side: int = 12, min_fill: float = 0.1):
        self.margin_ratio, self.max_side = margin_ratio, max_side
        self.min_side, self.min_fill = min_side, min_fill

    def transform(self, results: dict) -> dict | None:
        box = mask_boxes(results['gt_masks'][:1])
        width, height = box[0, 2:] - box[0, :2]
        area_px = np.count_nonzero(results['gt_masks'][0])
        if min(width, height) < self.min_side or area_px < self.min_fill * width * height:
            return None
        window = pad_boxes(box, results['img'].shape[:2], margin_ratio=self.margin_ratio)[0]
        sides_wh = window[2:] - window[:2]
        scale = min(1.0, self.max_side / sides_wh.max())
        return _cut(results, window, tuple(np.maximum(np.rint(sides_wh * scale), 1).astype(int).tolist()))


@TRANSFORMS.register_module()
class CoarseMaskCrop(BaseTransform):
    """Crop around the coarse mask with a random margin, resized to the square input of the network.

    Args:
        size: side of the network's input in pixels.
        margin_ratio: min and max margin on each side, as a fraction of the coarse mask's mean side.
    """

    def __init__(self, size: int, margin_ratio: tuple[float, float] = (0.1, 0.35)):
        self.size, self.margin_ratio = size, margin_ratio

    def transform(self, results: dict) -> dict | None:
        box = mask_boxes(results['coarse_masks'][:1])
        if not box.any():
            return None
        ratio = results['rng'].uniform(*self.margin_ratio)
        return _cut(results, pad_boxes(box, results['img'].shape[:2], 2, ratio)[0], (self.size, self.size))


@TRANSFORMS.register_module()
class RandomObjectCrop(BaseTransform):
    """Random crop that contains the whole object, see :func:`~mmrefine.core.object_crop.random_object_crop`.

    Args:
        size: side of the square to which the crop is resized.
        margin_px: total margin along each axis in pixels; None: each side of the crop is uniformly distributed between
            the object and the image border.
        antialias: whether crops are downsampled by area; False: bilinear, as for the published models.
    """

    def __init__(self, size: int, margin_px: int | None = 40, antialias: bool = True):
        self.size, self.margin_px, self.antialias = size, margin_px, antialias

    def transform(self, results: dict) -> dict | None:
        box = mask_boxes(results['gt_masks'][:1])[0]
        if not box.any():
            return None
        size_hw = results['img'].shape[:2]
        if self.margin_px is None:
            x1, y1, x2, y2 = box
            low, high = (0, 0, x2, y2), (x1, y1, size_hw[1], size_hw[0])
            # As in the released code, the upper end of each range is excluded unless the range has one value.
            crop = results['rng'].integers(low, np.maximum(high, np.add(low, 1)))
        else:
            crop = random_object_crop(box, size_hw, self.margin_px, results['rng'])
        return _cut(results, crop, (self.size, self.size), self.antialias)


@TRANSFORMS.register_module()
class MixedPatchCrop(BaseTransform):
    """Random patch at native resolution that contains foreground and background of the ground truth.

    Args:
        size: side of the patch in pixels; smaller images are padded by replicating the border, masks with background.
    """

    def __init__(self, size: int):
        self.size = size

    def transform(self, results: dict) -> dict | None:
        height, width = results['img'].shape[:2]
        pad_y, pad_x = max(self.size - height, 0), max(self.size - width, 0)
        if pad_y or pad_x:
            results['img'] = cv2.copyMakeBorder(results['img'], 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)
            for key in ('gt_masks', 'coarse_masks'):
                if key in results:
                    results[key] = np.pad(results[key], ((0, 0), (0, pad_y), (0, pad_x)))
        sums = cv2.integral(results['gt_masks'][0].astype(np.uint8))
        size = self.size
        inside_px = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
        mixed = np.flatnonzero((inside_px > 0) & (inside_px < size**2))
        if not len(mixed):
            return None
        y1, x1 = np.unravel_index(mixed[results['rng'].integers(len(mixed))], inside_px.shape)
        return _cut(results, np.array([x1, y1, x1 + size, y1 + size]))
