"""The instance tables: a detector's masks before and after refinement, in one run, as MMDetection counts them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal
from mmrefine.registry import MODELS
from tests.helpers.tiny_openmmlab import det_config, mask_rcnn, write_data

pytest.importorskip('mmdet')


@MODELS.register_module()
class BrightParts(BaseRefiner):
    """The bright parts of the image in turn, whatever masks are given."""

    def __init__(self):
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor([100.0]))

    def forward(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError('this refiner has nothing to learn')

    def _refine_batch(self, inputs):
        return [Proposal(self._parts(item.image, len(item.masks)), np.ones(len(item.masks))) for item in inputs]

    def _parts(self, image: np.ndarray, count: int) -> np.ndarray:
        bright = image.mean(axis=2) > self.threshold.item()
        number, parts = cv2.connectedComponents(bright.astype(np.uint8))
        return np.stack([parts == 1 + index % (number - 1) for index in range(count)])


def test_mask_ap_agrees_with_mmdetections(tmp_path):
    folder = write_data(tmp_path)
    metrics = [
        {'type': 'CocoMetric', 'ann_file': str(folder / 'coco.json'), 'metric': ['segm']},
        {'type': 'mmrefine.MaskAPMetric', 'ann_file': str(folder / 'coco.json'), 'category_ids': [1, 2]},
    ]
    evaluator = {'type': 'mmrefine.RefineEvaluator', 'metrics': metrics}
    hook = {'type': 'mmrefine.RefineHook', 'refiner': {'type': 'mmrefine.BrightParts'}}
    scores = Runner.from_cfg(det_config(folder, mask_rcnn(), [hook], evaluator)).test()
    assert scores['refined/ap/mask_AP'] > 0.1
    for side in ('coarse', 'refined'):
        # MMDetection rounds to three digits
        assert scores[f'{side}/ap/mask_AP'] == pytest.approx(scores[f'{side}/coco/segm_mAP'], abs=6e-4)
        assert scores[f'{side}/ap/boundary_AP'] <= scores[f'{side}/ap/mask_AP'] + 1e-9
    assert scores['refined/ap/boundary_AP'] > 0
