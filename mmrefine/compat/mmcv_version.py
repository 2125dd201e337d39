"""Lets mmdet 3.3 and mmsegmentation 1.2 be imported with mmcv 2.2, which their version checks refuse.

The checks run when the packages are first imported; both packages pass this project's tests with mmcv 2.2.0.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmengine.logging import print_log

_NEWEST_ACCEPTED = '2.1.0'


def accept_mmcv_2_2() -> None:
    """Import mmdet and mmseg, if installed, with an older version number of mmcv; does nothing unless mmcv is 2.2.

    The forks (``onedl-*``) check for their own mmcv and are not affected.
    """
    if not any(_version(name).startswith('2.2.') for name in ('mmcv', 'mmcv-lite')):
        return
    mmcv: Any = import_module('mmcv')
    actual, mmcv.__version__ = mmcv.__version__, _NEWEST_ACCEPTED
    try:
        for distribution, module in (('mmdet', 'mmdet'), ('mmsegmentation', 'mmseg')):
            if _version(distribution):
                import_module(module)
    finally:
        mmcv.__version__ = actual
    print_log(f'mmdet and mmseg accept this version of mmcv ({actual})', logger='current', level=logging.INFO)


def _version(distribution: str) -> str:
    """Installed version of a distribution, '' if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ''
