"""Restores names that numpy has removed and that unmaintained packages still use.

``np.float`` (gone in 1.24): lvis 0.5.3 and the YouTube-VIS evaluation of mmdet 3.3; ``np.in1d`` (gone in 2.4):
cityscapesscripts 2.3, which mmdet's and mmseg's Cityscapes metrics call.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def restore_numpy_names() -> None:
    """Add missing names to numpy."""
    for name, value in (('float', float), ('in1d', _in1d)):
        if not hasattr(np, name):
            setattr(np, name, value)


def _in1d(values: Any, test_values: Any, assume_unique: bool = False, invert: bool = False) -> np.ndarray:
    """numpy's former ``in1d``."""
    return np.isin(np.ravel(values), test_values, assume_unique=assume_unique, invert=invert)
