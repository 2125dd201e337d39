"""Summaries of a handful of numbers that can be added up by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from mmrefine.evaluation import format_scores_table, measure_masks, summarize_by_group, summarize_refinement
from mmrefine.evaluation.summary import print_scores_table

NAN = float('nan')


def test_means_gains_and_harm() -> None:
    scores = summarize_refinement(
        {'iou': [0.5, 0.7, 0.9, 0.6], 'boundary_iou': [0.2, 0.4, 0.6, 0.8]},
        {'iou': [0.9, 0.8, 0.8, 0.6], 'boundary_iou': [0.6, 0.3, 0.5, 0.9]},
    )
    assert scores == pytest.approx(
        {
            'coarse/iou': 0.675,
            'refined/iou': 0.775,
            'gain/iou': 0.1,
            'harm_rate': 0.25,
            'coarse/boundary_iou': 0.5,
            'refined/boundary_iou': 0.575,
            'gain/boundary_iou': 0.075,
            'harm_rate/boundary_iou': 0.5,
            'num_masks': 4,
        }
    )


def test_a_fall_of_the_tolerance_is_no_harm() -> None:
    # 0.81 - 0.80 is a little more than 0.01 in floating point.
    coarse, refined = {'iou': [0.81, 0.81, 0.5]}, {'iou': [0.80, 0.799, 0.5]}
    assert summarize_refinement(coarse, refined)['harm_rate'] == pytest.approx(1 / 3)
    assert summarize_refinement(coarse, refined, harm_tolerance=0.02)['harm_rate'] == 0


def test_undefined_values_are_left_out_on_both_sides() -> None:
    scores = summarize_refinement({'mba': [0.5, NAN, 0.7, 0.1, NAN]}, {'mba': [0.8, NAN, 0.6, NAN, 0.9]})
    assert scores == pytest.approx(
        {'coarse/mba': 0.6, 'refined/mba': 0.7, 'gain/mba': 0.1, 'harm_rate/mba': 0.5, 'num_masks': 5}
    )


def test_no_masks_give_nan_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        nothing = measure_masks(np.zeros((0, 4, 4), bool), np.zeros((0, 4, 4), bool))
        scores = summarize_refinement(nothing, nothing)
    assert scores.pop('num_masks') == 0
    assert 'coarse/pooled_iou' in scores
    assert all(math.isnan(value) for value in scores.values())


def test_pooled_iou_weighs_masks_by_their_pixels() -> None:
    gt = np.zeros((3, 8, 8), bool)
    gt[0, :4, :4] = gt[1, :1, :2] = True
    coarse, refined = gt.copy(), gt.copy()
    coarse[0, 0] = False  # 12 of 16 px
    coarse[1] = False  # 0 of 2 px
    refined[2, 0, :2] = True  # 0 of 2 px: the truth is empty
    scores = summarize_refinement(measure_masks(coarse, gt, ['iou']), measure_masks(refined, gt, ['iou']))
    assert scores['coarse/iou'] == pytest.approx((0.75 + 0 + 1) / 3)
    assert scores['coarse/pooled_iou'] == pytest.approx(12 / 18)
    assert scores['refined/pooled_iou'] == pytest.approx(18 / 20)
    assert scores['gain/pooled_iou'] == pytest.approx(18 / 20 - 12 / 18)


def test_groups_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    coarse, refined = ({'iou': rng.random(50), 'mba': rng.random(50)} for _ in range(2))
    groups = rng.choice(['b', 'a', 'c'], 50)
    whole, parts = summarize_refinement(coarse, refined), summarize_by_group(coarse, refined, groups)
    assert list(parts) == ['a', 'b', 'c']
    assert sum(part['num_masks'] for part in parts.values()) == 50
    for key in ('coarse/iou', 'gain/mba', 'harm_rate'):
        assert sum(part[key] * part['num_masks'] for part in parts.values()) / 50 == pytest.approx(whole[key])
    np.testing.assert_allclose(parts['b']['refined/iou'], refined['iou'][groups == 'b'].mean())


def test_table(capsys) -> None:
    coarse = {'iou': [0.5, 0.7, 0.9], 'mba': [0.5, NAN, NAN]}
    refined = {'iou': [0.75, 0.8, 0.6], 'mba': [0.6, NAN, NAN]}
    summaries = summarize_by_group(coarse, refined, ['[red]', 'DUTS', 'DUTS'])
    summaries['all'] = summarize_refinement(coarse, refined)
    table = format_scores_table(summaries, 'source')
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]
    assert rows[0] == ['source', 'masks', 'IoU %', 'mBA %', 'harm %']
    assert rows[2:] == [
        ['DUTS', '2', '80.0 -> 70.0 (-10.0)', 'nan -> nan (+nan)', '50.0'],
        ['[red]', '1', '50.0 -> 75.0 (+25.0)', '50.0 -> 60.0 (+10.0)', '0.0'],
        ['all', '3', '70.0 -> 71.7 (+1.7)', '50.0 -> 60.0 (+10.0)', '33.3'],
    ]
    print_scores_table(summaries, 'source')
    assert capsys.readouterr().out == table + '\n'


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"same measures, got \['iou'\] and \['mba'\]"):
        summarize_refinement({'iou': [1]}, {'mba': [1]})
    with pytest.raises(ValueError, match='one value for each of N masks'):
        summarize_refinement({'iou': [1, 1]}, {'iou': [1]})
    with pytest.raises(ValueError, match='each of the 2 masks, got 1 names'):
        summarize_by_group({'iou': [1, 1]}, {'iou': [1, 1]}, ['a'])
