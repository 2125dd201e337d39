"""mmengine metric for mask AP and boundary AP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

from mmrefine.core.coco_lvis import COCO_SYNSETS
from mmrefine.core.rle import encode_rle
from mmrefine.evaluation.mask_ap import mask_ap
from mmrefine.registry import METRICS


@METRICS.register_module()
class MaskAPMetric(BaseMetric):
    """Mask AP and boundary AP of predicted instances, see :func:`~mmrefine.evaluation.mask_ap.mask_ap`.

    :class:`~mmrefine.evaluation.RefineEvaluator` reports it before and after refinement.

    Args:
        ann_file: annotation file of the images.
        federated: use the protocol of LVIS.
        category_ids: category id of each class in the order of the model's labels; None: COCO's 80 classes.
        collect_device, prefix: see mmengine's ``BaseMetric``.
    """

    default_prefix = 'ap'

    def __init__(
        self,
        ann_file: str | os.PathLike,
        federated: bool = False,
        category_ids: Sequence[int] | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ann_file, self.federated = ann_file, federated
        self.category_ids = tuple(COCO_SYNSETS if category_ids is None else category_ids)

    def process(self, data_batch: Any, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Store the predictions of a batch, with masks as RLE."""
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            found = fields['pred_instances']
            self.results.append(
                [
                    {
                        'image_id': fields['img_id'],
                        'category_id': self.category_ids[int(label)],
                        'segmentation': encode_rle(mask.cpu().numpy() > 0),
                        'score': float(score),
                    }
                    for mask, label, score in zip(found['masks'], found['labels'], found['scores'], strict=True)
                ]
            )

    def compute_metrics(self, results: list[list[dict]]) -> dict[str, float]:
        """AP over all images."""
        records = [record for image in results for record in image]
        return mask_ap(self.ann_file, records, federated=self.federated)
