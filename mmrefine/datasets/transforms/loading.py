"""Transforms that load images and ground-truth masks."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.datasets.skipped_samples import BrokenSampleError, SkippedSamples
from mmrefine.files.coco_file import decode_record
from mmrefine.files.images import read_image
from mmrefine.files.mask_files import read_mask_file
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """Load the image ``img_path`` to ``img``, (H, W, 3) uint8 RGB.

    Raises:
        BrokenSampleError: the image cannot be read.
    """

    def transform(self, results: dict) -> dict:
        try:
            results['img'] = read_image(results['img_path'])
        except (OSError, ValueError) as error:
            raise BrokenSampleError(str(error)) from error
        results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadTrueMasks(BaseTransform):
    """Load ground-truth masks: ``instances`` (COCO segmentations or mask files) to ``gt_masks`` and ``labels``.

    ``gt_masks`` are (N, H, W) bool, ``labels`` (N,) int64. Masks that cannot be used are skipped with a warning.

    Raises:
        BrokenSampleError: none of the masks can be used.
    """

    def __init__(self):
        self._skipped = SkippedSamples('masks')

    def transform(self, results: dict) -> dict:
        size_hw = results['img'].shape[:2]
        masks, labels, reasons = [], [], []
        for instance in results['instances']:
            try:
                masks.append(_load(instance, size_hw))
            except (OSError, ValueError) as error:
                reasons.append((instance.get('id', 'the mask'), str(error)))
            else:
                labels.append(instance.get('category_id', 0))
        self._skipped.count_usable(len(masks))
        if reasons and not masks:
            raise BrokenSampleError(f'{results["img_path"]} has no usable mask: {reasons[0][1]}')
        for name, reason in reasons:
            self._skipped.skip(f'mask {name} of {results["img_path"]}', reason)
        results['gt_masks'] = np.stack(masks) if masks else np.zeros((0, *size_hw), bool)
        results['labels'] = np.array([int(label) if _fits(label) else 0 for label in labels], np.int64)
        return results


def _load(instance: dict, size_hw: tuple[int, int]) -> np.ndarray:
    if 'mask_path' in instance:
        return read_mask_file(instance['mask_path']).check_size(size_hw).binary()
    mask = decode_record({'segmentation': instance['segmentation']}, size_hw, instance.get('size_hw'))
    return np.zeros(size_hw, bool) if mask is None else mask


def _fits(label: object) -> bool:
    return isinstance(label, (int, float)) and abs(label) < 2**63
