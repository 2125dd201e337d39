"""The gate on masks small enough to count by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from mmrefine.core.gate import (
    FEATURES,
    QualityGate,
    describe_reason,
    gate_features,
    parse_gate,
    resolve_gate,
    summarize_kept,
)

COARSE = np.array([[[1, 1, 1, 1], [0, 0, 0, 0]]], bool)
PROPOSED = np.array([[[1, 1, 0, 0], [1, 0, 0, 0]]], bool)  # area 3 of 4, overlap 2, union 5
EVIDENCE = {'sharpness': [0.9], 'stability': [0.8]}


def features(coarse=COARSE, proposed=PROPOSED, score=0.7, coarse_score=0.6) -> dict[str, float]:
    arrays = gate_features(coarse, proposed, np.array([score]), np.array([coarse_score]), EVIDENCE)
    return {name: float(values[0]) for name, values in arrays.items()}


def test_features() -> None:
    assert features() == pytest.approx(
        {
            'score': 0.7,
            'expected_gain': 0.1,
            'agreement': 0.4,
            'area_ratio': 0.75,
            'relative_size': math.sqrt(0.5),
            'sharpness': 0.9,
            'stability': 0.8,
        }
    )
    assert set(features()) == set(FEATURES)
    assert 'expected_gain' not in gate_features(COARSE, PROPOSED, np.array([0.7]))


@pytest.mark.parametrize(
    ('settings', 'reason'),
    [
        ({}, ''),
        ({'min_score': 0.7}, ''),
        ({'min_score': 0.71}, 'score too low: 0.700, needs 0.710'),
        ({'min_gain': 0.1}, ''),
        ({'min_gain': 0.15}, 'expected gain too small: 0.100, needs 0.150'),
        ({'min_gain': 0.1003}, 'expected gain too small: 0.1000, needs 0.1003'),
        ({'min_agreement': 0.4}, ''),
        ({'min_agreement': 0.41}, 'overlap with the coarse mask too small: 0.400, needs 0.410'),
        ({'min_sharpness': 0.95}, 'boundary too uncertain: 0.900, needs 0.950'),
        ({'min_stability': 0.85}, 'change between steps too large: 0.800, needs 0.850'),
        ({'area_ratio': (0.75, 1.0)}, ''),
        ({'area_ratio': [0.8, 1.2]}, 'too small relative to the coarse mask: area x 0.750, needs 0.800'),
        ({'area_ratio': (0.1, 0.7)}, 'too large relative to the coarse mask: area x 0.750, at most 0.700'),
        ({'weights': {'score': 10}, 'bias': -8, 'min_probability': 0.25}, ''),  # 1 / (1 + e) = 0.269
        (
            {'weights': {'score': 10}, 'bias': -8, 'min_probability': 0.5},
            'improvement too unlikely: 0.269, needs 0.500',
        ),
    ],
)
def test_each_evidence(settings, reason) -> None:
    assert QualityGate(**settings).judge(features()) == reason


def test_reasons_never_contradict_themselves() -> None:
    """Whatever the numbers, those that are printed stand in the order that the words say."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        least = rng.uniform(0, 1)
        score = least - 10 ** rng.uniform(-5.5, 0)
        reason = QualityGate(min_score=least).judge(features(score=score))
        value, bound = map(float, re.fullmatch(r'score too low: (\S+), needs (\S+)', reason).groups())
        assert value < bound


def test_bounds_that_are_met_up_to_rounding_let_pass() -> None:
    scores = np.array([0.7, 0.66], np.float32)  # 0.69999999 and, as their difference, 0.03999996
    arrays = gate_features(COARSE, PROPOSED, scores[:1], scores[1:])
    seen = {name: float(values[0]) for name, values in arrays.items()}
    assert seen['score'] < 0.7 and seen['expected_gain'] < 0.04
    assert QualityGate(min_score=0.7, min_gain=0.04).judge(seen) == ''


def test_empty_proposals_and_broken_scores_never_pass() -> None:
    assert QualityGate().judge(features(proposed=np.zeros_like(COARSE))) == 'refined mask is empty'
    assert QualityGate().judge(features(score=float('nan'))) == 'its score is not a number'


def test_areas_count_alike_in_both_directions() -> None:
    gate = QualityGate(weights={'area_ratio': -2.0}, min_probability=0.5)
    assert gate.probability({'area_ratio': 2.0}) == pytest.approx(gate.probability({'area_ratio': 0.5}))
    assert gate.probability({'area_ratio': 2.0}) == pytest.approx(1 / (1 + math.exp(2 * math.log(2))))
    assert gate.probability({'area_ratio': 1.0}) == 0.5


def test_a_gate_on_what_the_refiner_does_not_know_is_refused() -> None:
    seen = {name: value for name, value in features().items() if name != 'expected_gain'}
    with pytest.raises(ValueError, match='min_gain needs "expected_gain", which this refiner does not estimate'):
        QualityGate(min_gain=0.1).judge(seen)
    with pytest.raises(ValueError, match='weights needs "expected_gain"'):
        QualityGate(weights={'expected_gain': 1.0}, min_probability=0.5).judge(seen)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r'area_ratio must be \(min, max\), got \(2, 1\)'):
        QualityGate(area_ratio=(2, 1))
    with pytest.raises(ValueError, match=r"weights must name some of the features .* got \['gain'\]"):
        QualityGate(weights={'gain': 1.0}, min_probability=0.5)
    with pytest.raises(ValueError, match='min_probability needs the weights'):
        QualityGate(min_probability=0.5)


def test_a_call_may_change_the_gate_of_a_refiner() -> None:
    own = QualityGate(min_score=0.7, min_gain=0.04)
    assert resolve_gate(own, True) is own and resolve_gate(own, False) is None and resolve_gate(None, True) is None
    assert resolve_gate(own, {'min_gain': 0.02}) == QualityGate(min_score=0.7, min_gain=0.02)
    assert resolve_gate(own, {'min_gain': None}) == QualityGate(min_score=0.7)
    assert resolve_gate(None, {'min_gain': 0.02}) == QualityGate(min_gain=0.02)
    with pytest.raises(ValueError, match=r"gate has no setting \['gain'\]; expected some of \['min_score', 'min_gain'"):
        resolve_gate(own, {'gain': 0.02})


def test_settings_from_a_command_line() -> None:
    assert parse_gate(['min_gain=0.02', 'area_ratio=0.4,2.5', 'min_score=none']) == {
        'min_gain': 0.02,
        'area_ratio': [0.4, 2.5],
        'min_score': None,
    }
    assert parse_gate([]) == {}
    wrong = ('gain=0.02', 'min_gain', 'min_gain=', 'min_gain=high', 'min_gain=1,2', 'area_ratio=2', 'weights=1')
    for text in (*wrong, 'min_gain=nan', 'min_score=inf', 'area_ratio=0.5,inf'):
        with pytest.raises(ValueError, match=rf"a gate setting must be NAME=NUMBER, .* got '{text}'"):
            parse_gate([text])


def test_what_was_kept_is_reported_with_options() -> None:
    reasons = [QualityGate(min_gain=0.5, min_score=0.65).judge(features(score=score)) for score in (0.7, 0.7, 0.6)]
    counts = {describe_reason(reason): reasons.count(reason) for reason in reasons}
    assert summarize_kept(counts, 9) == (
        '3 of 9 coarse masks were kept: expected gain too small 2, score too low 1. '
        '--no-gate accepts every proposal, --gate min_gain=none min_score=none drops these conditions alone.'
    )
    assert summarize_kept(counts, 9, in_python=True).endswith(
        ' gate=False accepts every proposal, gate=dict(min_gain=None, min_score=None) drops these conditions alone.'
    )
    assert summarize_kept({'coarse mask is empty': 1}, 9) == '1 of 9 coarse masks was kept: coarse mask is empty 1.'
    assert summarize_kept({}, 9) == ''
