"""MMDetection dataset for weighted pseudo labels.

A config needs ``custom_imports = dict(imports=['mmrefine.datasets.weighted_coco'])``. The annotation file is in COCO's
format with a ``weight`` in [0, 1] for every annotation, as tools/dataset_converters/pseudo_labels_to_coco.py writes it.
To mix them with human annotations, use ``ConcatDataset`` and MMDetection's ``MultiSourceSampler``.
"""

from __future__ import annotations

import numpy as np

from mmrefine.compat import setup
from mmrefine.registry import DATASETS, TRANSFORMS
from mmrefine.utils import require

setup()
require('mmdet', 'pip install "mmrefine[mmdet]"', 'mmrefine.datasets.weighted_coco')

from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.datasets.transforms import PackDetInputs  # noqa: E402


@DATASETS.register_module()
class WeightedCocoDataset(CocoDataset):
    """MMDetection's ``CocoDataset`` with a ``weight`` for each instance, by default 1.

    Raises:
        ValueError: a weight is not in [0, 1].
    """

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse an image; unusable instances are dropped as in MMDetection, the others get their weights."""
        info = super().parse_data_info({**raw_data_info, 'raw_ann_info': []})
        for annotation in raw_data_info['raw_ann_info']:
            weight = annotation.get('weight', 1.0)
            if not 0 <= weight <= 1:
                raise ValueError(
                    f'{self.ann_file}: annotation {annotation["id"]} must have a weight in [0, 1], got {weight}.'
                )
            parsed = super().parse_data_info({**raw_data_info, 'raw_ann_info': [annotation]})
            info['instances'].extend({**instance, 'weight': weight} for instance in parsed['instances'])
        return info


@TRANSFORMS.register_module()
class PackWeightedInputs(PackDetInputs):
    """MMDetection's ``PackDetInputs`` with ``gt_instances.weights``, (N,) float32.

    Raises:
        ValueError: earlier transforms have dropped instances, as crops do.
    """

    mapping_table = {**PackDetInputs.mapping_table, 'gt_weights': 'weights'}

    def transform(self, results: dict) -> dict:
        """Pack one image."""
        weights = np.array([instance.get('weight', 1.0) for instance in results['instances']], np.float32)
        if len(weights) != len(results['gt_bboxes']):
            raise ValueError(
                f'{len(weights)} instances were loaded but {len(results["gt_bboxes"])} are left, so that their weights '
                'cannot be assigned; remove transforms that drop instances, such as RandomCrop.'
            )
        return super().transform({**results, 'gt_weights': weights})
