"""Which predictions become labels."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.pseudo_labels import PseudoLabelFilter


def test_every_threshold_sorts_on_its_own():
    columns = np.array(
        # score, quality, agreement, area
        [
            [0.9, 0.9, 0.9, 100],
            [0.6, 0.9, 0.9, 100],
            [0.9, 0.4, 0.9, 100],
            [0.9, 0.9, 0.4, 100],
            [0.9, 0.9, 0.9, 15],
            [0.2, 0.9, 0.9, 100],
        ]
    ).T
    labels, ignored = PseudoLabelFilter(0.7, 0.5, 0.5, 16, ignore_score=0.3).sort(*columns)
    assert labels.tolist() == [True, False, False, False, False, False]
    assert ignored.tolist() == [False, True, True, True, True, False]
    assert not PseudoLabelFilter(0.7, 0.5, 0.5, 16).sort(*columns)[1].any()


def test_thresholds_themselves_pass_and_nothing_is_ignored_without_a_pixel():
    labels, ignored = PseudoLabelFilter(0.7, 0.5, 0.5, 0, ignore_score=0.0).sort(
        np.array([0.7, 0.7]), np.array([0.5, 1.0]), np.array([0.5, 1.0]), np.array([1, 0])
    )
    assert labels.tolist() == [True, False] and ignored.tolist() == [False, False]
    labels, ignored = PseudoLabelFilter(0.7, ignore_score=0.3).sort(
        np.array([0.3, 0.29]), np.ones(2), np.ones(2), np.array([1, 1])
    )
    assert not labels.any() and ignored.tolist() == [True, False]


@pytest.mark.parametrize('wrong', [{'min_score': 1.5}, {'min_quality': -0.1}, {'min_score': 0.5, 'ignore_score': 0.6}])
def test_thresholds_outside_their_range(wrong):
    with pytest.raises(ValueError, match='must'):
        PseudoLabelFilter(**wrong)
