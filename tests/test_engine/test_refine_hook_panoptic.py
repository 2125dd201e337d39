"""RefineHook around a real panoptic model of MMDetection, tiny, with random weights."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.panoptic import INSTANCE_OFFSET, paint_panoptic_map, split_panoptic_map
from mmrefine.engine import RefineHook
from mmrefine.files.images import read_image
from mmrefine.models.refiners import RefineInput
from mmrefine.registry import MODELS
from tests.helpers.tiny_openmmlab import CLASSES, REFINER, STUFF, build, panoptic_config

pytest.importorskip('mmdet')

NUM_CLASSES = len(CLASSES) + len(STUFF)


def test_things_and_stuff_are_refined(data):
    runner = build(panoptic_config(data))
    runner.test()
    coarse = runner.test_evaluator.metrics[0].seen
    refiner = MODELS.build({**REFINER, 'gate': None})
    hook = RefineHook(refiner)
    runner.register_hook(hook)
    runner.test()
    changed = 0
    for name, sample in runner.test_evaluator.metrics[0].seen.items():
        before = coarse[name]['pred_panoptic_seg']['sem_seg']
        after = sample['pred_panoptic_seg']['sem_seg']
        assert after.shape == before.shape == (1, *sample['ori_shape']) and after.dtype == before.dtype
        before, after = before[0].numpy(), after[0].numpy()
        masks, values = split_panoptic_map(before, NUM_CLASSES)
        image = data / 'images' / name
        [result] = refiner.refine_batch([RefineInput(read_image(image), masks)])
        expected = paint_panoptic_map(before, masks, result.masks, values, result.scores, NUM_CLASSES)
        np.testing.assert_array_equal(after, expected)
        assert set(np.unique(after)) <= set(np.unique(before))
        is_void = before % INSTANCE_OFFSET >= NUM_CLASSES
        np.testing.assert_array_equal(after % INSTANCE_OFFSET >= NUM_CLASSES, is_void)
        changed += (after != before).any()
    assert changed
