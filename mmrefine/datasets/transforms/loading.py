"""Load images and masks."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.core.rle import decode_segmentation
from mmrefine.files.images import read_image
from mmrefine.files.mask_files import read_mask_file
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """``img_path`` -> ``img`` (H, W, 3) uint8 RGB."""

    def transform(self, results: dict) -> dict:
        results['img'] = read_image(results['img_path'])
        results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadTrueMasks(BaseTransform):
    """``instances`` (COCO segmentations or mask files) -> ``gt_masks`` (N, H, W) bool.

    Raises:
        ValueError: a mask of another size than the image, or a mask file that cannot be read.
    """

    def transform(self, results: dict) -> dict:
        size_hw = results['img'].shape[:2]
        masks = [self._load(instance, size_hw) for instance in results['instances']]
        for mask in masks:
            if mask.shape != size_hw:
                raise ValueError(f'{results["img_path"]} is {size_hw} (H, W) but one of its masks is {mask.shape}.')
        results['gt_masks'] = np.stack(masks) if masks else np.zeros((0, *size_hw), bool)
        results['labels'] = np.array([instance.get('category_id', 0) for instance in results['instances']], np.int64)
        return results

    @staticmethod
    def _load(instance: dict, size_hw: tuple[int, int]) -> np.ndarray:
        if 'mask_path' in instance:
            return read_mask_file(instance['mask_path']).binary()
        return decode_segmentation(instance['segmentation'], size_hw)
