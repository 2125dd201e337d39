"""Lets mmengine find the configs of this package: ``_base_ = 'mmrefine::segrefiner/segrefiner_tiny.py'``."""

from __future__ import annotations

from pathlib import Path

import mmengine.config.config
import mmengine.hub.hub
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.utils import get_installed_path

_NAME = 'mmrefine'


def installed_path(package: str) -> str:
    """mmengine's ``get_installed_path``, except that it finds editable installs of mmrefine.

    Args:
        package: name of an installed package.

    Returns:
        folder of the package, which contains ``.mim``.
    """
    return str(Path(__file__).resolve().parents[1]) if package == _NAME else get_installed_path(package)


def register_package_configs() -> None:
    """Add mmrefine to mmengine's table of packages. Idempotent."""
    MODULE2PACKAGE.setdefault(_NAME, _NAME)
    mmengine.config.config.get_installed_path = installed_path
    mmengine.hub.hub.get_installed_path = installed_path
