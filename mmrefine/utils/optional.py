"""Import of optional packages, with an error that names the install command."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, install: str, purpose: str = '') -> ModuleType:
    """Import an optional module.

    Args:
        module: dotted name, such as ``'sam2.build_sam'``.
        install: command that installs it, such as ``'pip install "mmrefine[sam2]"'``.
        purpose: what needs it, such as ``'SAM2Refiner'``, for the error message.

    Returns:
        the imported module.

    Raises:
        ImportError: the package is not installed. Import errors inside an installed package are not changed.

    Example:
        >>> require('json', 'pip install json').__name__
        'json'
        >>> require('no_such_package', 'pip install it')
        Traceback (most recent call last):
        ImportError: this feature needs the package 'no_such_package', which is not installed; ...
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition('.')[0]
        if error.name != package:
            raise
        raise ImportError(
            f'{purpose or "this feature"} needs the package {package!r}, which is not installed; '
            f'install it with: {install}',
            name=package,
        ) from error
