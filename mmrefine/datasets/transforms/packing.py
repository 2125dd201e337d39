"""Packing of samples for refiners."""

from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmrefine.registry import TRANSFORMS
from mmrefine.structures import RefineDataSample

_META_KEYS = ('img_path', 'img_id', 'ori_shape', 'source', 'kind')


@TRANSFORMS.register_module()
class PackRefineInputs(BaseTransform):
    """Pack a sample as ``dict(inputs=(3, H, W) uint8 RGB tensor, data_samples=RefineDataSample)``.

    Args:
        tensors: pack masks as uint8 tensors, and a ``seed`` for the model's random numbers, for training; otherwise
            masks are bool arrays.
        meta_keys: keys to copy to the metainfo, if they are present.
    """

    def __init__(self, tensors: bool = False, meta_keys: tuple[str, ...] = _META_KEYS):
        self.tensors, self.meta_keys = tensors, meta_keys

    def transform(self, results: dict) -> dict:
        sample = RefineDataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if self.tensors:
            sample.set_metainfo({'seed': int(results['rng'].integers(2**62))})
        elif 'labels' in results:
            sample.labels = results['labels']
        for key in ('gt_masks', 'coarse_masks', 'refined_masks'):
            if key in results:
                masks = np.ascontiguousarray(results[key])
                sample.set_field(torch.from_numpy(masks.astype(np.uint8)) if self.tensors else masks, key)
        image = torch.from_numpy(np.ascontiguousarray(results['img'].transpose(2, 0, 1)))
        return {'inputs': image, 'data_samples': sample}
