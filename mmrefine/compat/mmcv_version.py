"""Lets mmdet 3.3 and mmsegmentation 1.2 import beside mmcv 2.2, which they refuse by its number alone.

Their version checks run once, when the packages are first imported; both pass this project's tests with mmcv 2.2.0.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmengine.logging import print_log

_NEWEST_ACCEPTED = '2.1.0'


def accept_mmcv_2_2() -> None:
    """Imports mmdet and mmseg, where installed, so that their check of mmcv passes; does nothing unless mmcv is 2.2.

    The forks (``onedl-*``) check for their own mmcv and are left alone.
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
    """Returns the installed version, '' if there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ''
