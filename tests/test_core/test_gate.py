"""The do-no-harm gate on masks small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.gate import QualityGate

COARSE = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], bool)
REFINED = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)  # area 3 of 4, overlap 2, union 5


@pytest.mark.parametrize(
    ('settings', 'reason'),
    [
        ({}, ''),
        ({'min_score': 0.7}, ''),
        ({'min_score': 0.71}, 'score 0.70 < 0.71'),
        ({'min_gain': 0.05}, ''),
        ({'min_gain': 0.15}, 'expected gain +0.10 < +0.15'),
        ({'min_agreement': 0.4}, ''),
        ({'min_agreement': 0.41}, 'IoU with coarse 0.40 < 0.41'),
        ({'area_ratio': (0.75, 1.0)}, ''),
        ({'area_ratio': (0.8, 1.2)}, 'area ratio 0.75 outside 0.80..1.20'),
        ({'area_ratio': (0.1, 0.7)}, 'area ratio 0.75 outside 0.10..0.70'),
    ],
)
def test_each_evidence(settings, reason):
    assert QualityGate(**settings).judge(COARSE, REFINED, 0.7, 0.6) == reason


def test_empty_proposals_and_broken_scores_never_pass():
    assert QualityGate().judge(COARSE, np.zeros_like(COARSE), 1.0) == 'refined mask is empty'
    assert QualityGate().judge(COARSE, REFINED, float('nan')).startswith('score nan')
