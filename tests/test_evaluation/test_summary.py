"""Summaries of a handful of numbers that can be added up by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from mmrefine.evaluation import (
    evaluate_masks,
    format_scores_table,
    gain_intervals,
    summarize_by_group,
    summarize_refinement,
)

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
            'win_rate': 0.5,
            'coarse/boundary_iou': 0.5,
            'refined/boundary_iou': 0.575,
            'gain/boundary_iou': 0.075,
            'harm_rate/boundary_iou': 0.5,
            'win_rate/boundary_iou': 0.5,
            'num_masks': 4,
        }
    )


def test_a_change_of_the_tolerance_is_neither_harm_nor_win() -> None:
    # 0.81 - 0.80 is a little more than 0.01 in floating point.
    coarse, refined = {'iou': [0.81, 0.81, 0.5]}, {'iou': [0.80, 0.799, 0.5]}
    assert summarize_refinement(coarse, refined)['harm_rate'] == pytest.approx(1 / 3)
    assert summarize_refinement(coarse, refined, harm_tolerance=0.02)['harm_rate'] == 0
    scores = summarize_refinement({'iou': [0.80, 0.799, 0.5]}, {'iou': [0.81, 0.81, 0.5]})
    assert scores['win_rate'] == pytest.approx(1 / 3) and scores['harm_rate'] == 0


def test_undefined_values_are_left_out_on_both_sides() -> None:
    scores = summarize_refinement({'mba': [0.5, NAN, 0.7, 0.1, NAN]}, {'mba': [0.8, NAN, 0.6, NAN, 0.9]})
    assert scores == pytest.approx(
        {
            'coarse/mba': 0.6,
            'refined/mba': 0.7,
            'gain/mba': 0.1,
            'harm_rate/mba': 0.5,
            'win_rate/mba': 0.5,
            'num_masks': 5,
        }
    )


def test_what_the_gate_kept_is_counted() -> None:
    values = {'iou': [0.5, 0.6, 0.7, 0.8]}
    assert summarize_refinement(values, values, accepted=[True, False, True, True])['kept_rate'] == 0.25
    with pytest.raises(ValueError, match='accepted must contain one value for each of the 4 masks, got 1'):
        summarize_refinement(values, values, accepted=[True])


def test_intervals_hold_the_mean_gain_and_pass_over_undefined_values() -> None:
    rng = np.random.default_rng(0)
    coarse = {'iou': rng.random(40), 'mba': np.full(40, NAN), 'union_px': np.ones(40)}
    refined = {**coarse, 'iou': coarse['iou'] + rng.normal(0.1, 0.1, 40)}
    intervals = gain_intervals(coarse, refined)
    assert set(intervals) == {f'gain_{end}/{name}' for end in ('low', 'high') for name in ('iou', 'mba')}
    gain = summarize_refinement(coarse, refined)['gain/iou']
    assert intervals['gain_low/iou'] < gain < intervals['gain_high/iou']
    assert math.isnan(intervals['gain_low/mba'])
    coarse['mba'][3], refined['mba'] = 0.5, coarse['mba'].copy()
    refined['mba'][3] = 0.75
    assert gain_intervals(coarse, refined)['gain_high/mba'] == 0.25
    in_one_image = gain_intervals(coarse, refined, ['a'] * 40)
    assert in_one_image['gain_low/iou'] == pytest.approx(gain) == in_one_image['gain_high/iou']


def test_no_masks_give_nan_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        nothing = evaluate_masks(np.zeros((0, 4, 4), bool), np.zeros((0, 4, 4), bool))
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
    refined[2, 0, :2] = True  # 0 of 2 px: the ground truth is empty
    scores = summarize_refinement(evaluate_masks(coarse, gt, ['iou']), evaluate_masks(refined, gt, ['iou']))
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


def test_groups_of_groups() -> None:
    coarse, refined = {'iou': [0.5, 0.5, 0.5, 0.5]}, {'iou': [0.6, 0.7, 0.8, 0.9]}
    groups = [('simulated', 'davis'), ('real', 'selfie/human'), ('real', 'prisma'), ('simulated', 'davis')]
    summaries = summarize_by_group(
        coarse, refined, groups, accepted=[True, True, False, True], images=['a', 'a', 'b', 'c']
    )
    assert {name: round(100 * scores['gain/iou']) for name, scores in summaries.items()} == {
        'real/prisma': 30,
        'real/selfie/human': 20,
        'real/all': 25,
        'simulated/davis': 25,
        'simulated/all': 25,
    }
    assert list(summaries)[2:] == ['real/all', 'simulated/davis', 'simulated/all']
    assert summaries['real/all']['kept_rate'] == 0.5
    low, high = (summaries['real/all'][f'gain_{end}/iou'] for end in ('low', 'high'))
    assert (low, high) == pytest.approx((0.2, 0.3))
    header, _, first = format_scores_table(summaries, 'kind/source').splitlines()[:3]
    assert 'IoU % [95 % interval]' in header and header.rstrip('| ').endswith('harm % | win % | kept %')
    assert '50.0 -> 80.0 (+30.0 [+30.0, +30.0])' in first


def test_table() -> None:
    coarse = {'iou': [0.5, 0.7, 0.9], 'mba': [0.5, NAN, NAN]}
    refined = {'iou': [0.75, 0.8, 0.6], 'mba': [0.6, NAN, NAN]}
    summaries = summarize_by_group(coarse, refined, ['[red]', 'DUTS', 'DUTS'])
    summaries['all'] = summarize_refinement(coarse, refined)
    table = format_scores_table(summaries, 'source')
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]
    assert rows[0] == ['source', 'masks', 'IoU %', 'mBA %', 'harm %', 'win %']
    assert rows[2:] == [
        ['DUTS', '2', '80.0 -> 70.0 (-10.0)', 'nan -> nan (+nan)', '50.0', '50.0'],
        ['[red]', '1', '50.0 -> 75.0 (+25.0)', '50.0 -> 60.0 (+10.0)', '0.0', '100.0'],
        ['all', '3', '70.0 -> 71.7 (+1.7)', '50.0 -> 60.0 (+10.0)', '33.3', '66.7'],
    ]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"same metrics, got \['iou'\] and \['mba'\]"):
        summarize_refinement({'iou': [1]}, {'mba': [1]})
    with pytest.raises(ValueError, match='one value for each of N masks'):
        summarize_refinement({'iou': [1, 1]}, {'iou': [1]})
    with pytest.raises(ValueError, match='each of the 2 masks, got 1'):
        summarize_by_group({'iou': [1, 1]}, {'iou': [1, 1]}, ['a'])
