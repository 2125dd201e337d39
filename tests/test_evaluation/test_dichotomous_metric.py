"""Metrics of salient object segmentation, on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.evaluation import DichotomousMetric

pytest.importorskip('py_sod_metrics')


def sample(source: str, coarse: np.ndarray, refined: np.ndarray, gt: np.ndarray) -> dict:
    return {'source': source, 'coarse_masks': coarse[None], 'refined_masks': refined[None], 'gt_masks': gt[None]}


def test_sides_and_groups():
    gt = np.zeros((40, 50), bool)
    gt[5:25, 10:40] = True
    shifted, empty = np.roll(gt, 4, axis=1), np.zeros_like(gt)
    metric = DichotomousMetric(group_by='source')
    metric.process(None, [sample('a', shifted, gt, gt), sample('b', empty, shifted, gt)])
    values = metric.evaluate(2)
    assert values['a/refined/mae'] == 0 and values['a/refined/max_f'] == pytest.approx(1)
    assert values['a/refined/s'] == pytest.approx(1) and values['a/refined/hce'] == 0
    # 4 of 50 columns of 20 of 40 rows on either side of the object are wrong
    assert values['a/coarse/mae'] == pytest.approx(2 * 4 * 20 / (40 * 50))
    assert values['b/coarse/mae'] == pytest.approx(20 * 30 / (40 * 50)) and values['b/coarse/max_f'] < 0.5
    assert values['b/refined/mae'] == values['a/coarse/mae']
    assert values['coarse/mae'] == pytest.approx((values['a/coarse/mae'] + values['b/coarse/mae']) / 2)


def test_hce_can_be_left_out():
    gt = np.ones((10, 10), bool)
    metric = DichotomousMetric(hce=False)
    metric.process(None, [sample('a', gt, gt, gt)])
    assert 'refined/hce' not in metric.evaluate(1)
