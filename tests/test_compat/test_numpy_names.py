"""Names that numpy dropped and old packages use."""

from __future__ import annotations

import numpy as np

from mmrefine.compat import restore_numpy_names


def test_names_work_again():
    restore_numpy_names()
    assert np.zeros(2).astype(np.float).dtype == np.float64
    found = np.in1d([[1, 2], [3, 4]], [2, 4])
    assert found.tolist() == [False, True, False, True]
    assert np.in1d([1, 2], [2], invert=True).tolist() == [True, False]
