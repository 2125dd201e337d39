"""Lets mmengine find the configs of this package: ``_base_ = 'mmrefine::segrefiner/segrefiner_tiny.py'``."""

from __future__ import annotations

from pathlib import Path

import mmengine.config.config
import mmengine.hub.hub
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.utils import get_installed_path

_NAME = 'mmrefine'


def installed_path(package: str) -> str:
    """mmengine's ``get_installed_path``, which looks for an editable install of mmrefine where it is not.

    Args:
        package: name of an installed package.

    Returns:
        The folder of its modules, with ``.mim`` in it.
    """
    return str(Path(__file__).resolve().parents[1]) if package == _NAME else get_installed_path(package)


def register_package_configs() -> None:
    """Adds mmrefine to mmengine's table of packages. Safe to call again."""
    MODULE2PACKAGE.setdefault(_NAME, _NAME)
    mmengine.config.config.get_installed_path = installed_path
    mmengine.hub.hub.get_installed_path = installed_path
