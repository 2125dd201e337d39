"""Import of optional packages, with an error that names the install command."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, install: str, purpose: str = '') -> ModuleType:
    """Imports an optional module.

    Args:
        module: Dotted name, such as ``'sam2.build_sam'``.
        install: The command that installs it, such as ``'pip install "mmrefine[sam2]"'``.
        purpose: What needs it, such as ``'SAM2Refiner'``; named in the error.

    Returns:
        The imported module.

    Raises:
        ImportError: If the module's package is not installed. An error inside an installed package passes through
            unchanged: another install would not cure it.

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
