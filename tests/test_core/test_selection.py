"""Which masks are refined."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.core.selection import MaskSelection, class_indices

AREAS = np.array([10, 400, 50, 50, 0])
LABELS = np.array([2, 0, 2, 1, 2])
SCORES = np.array([0.9, 0.2, 0.5, 0.5, 0.8])


@pytest.mark.parametrize(
    ('options', 'chosen'),
    [
        ({}, [0, 1, 2, 3]),  # the last is empty
        ({'classes': (2,)}, [0, 2]),
        ({'classes': ()}, []),
        ({'score_thr': 0.5}, [0, 2, 3]),
        ({'area_range': (10, 50)}, [0, 2, 3]),
        ({'area_range': (50, None)}, [1, 2, 3]),
        ({'top_k': 2}, [0, 2]),  # of equal scores the earlier
        ({'top_k': 9}, [0, 1, 2, 3]),
        ({'classes': (2, 1), 'area_range': (1, 99), 'top_k': 2}, [0, 2]),  # the best of those that pass
    ],
)
def test_selection(options, chosen):
    assert np.flatnonzero(MaskSelection(**options).select(AREAS, LABELS, SCORES)).tolist() == chosen


def test_without_scores_the_largest_are_first():
    assert np.flatnonzero(MaskSelection(top_k=2, score_thr=0.9).select(AREAS, LABELS)).tolist() == [1, 2]


def test_no_masks():
    empty = np.zeros(0, np.int64)
    assert MaskSelection(classes=(1,), top_k=2).select(empty, empty, empty).shape == (0,)


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match=r'\(min, max\) in pixels, got \(5, 2\)'):
        MaskSelection(area_range=(5, 2))
    with pytest.raises(ValueError, match='top_k must be at least 1, or None for all masks, got 0'):
        MaskSelection(top_k=0)


def test_classes_by_name_and_index():
    names = ('cat', 'dog', 'owl')
    assert class_indices(['owl', 0], names) == (2, 0)
    assert class_indices(None, names) is None
    assert class_indices([7], None) == (7,)
    with pytest.raises(ValueError, match=r'no class .cow.; it has cat, dog, owl'):
        class_indices(['cow'], names)
    with pytest.raises(ValueError, match='class index 3 is out of range: the dataset has 3 classes, 0 to 2'):
        class_indices([3], names)
    with pytest.raises(ValueError, match='class index -1 is out of range'):
        class_indices([-1], None)
    with pytest.raises(ValueError, match='has no class names; give indices'):
        class_indices(['cat'], None)
    with pytest.raises(TypeError, match=r"got 'cat'; write \['cat'\]"):
        class_indices('cat', names)
