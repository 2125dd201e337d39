"""Paths of configs, tools and `model-index.yml` in all kinds of installation."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def mim_root() -> Path:
    """Returns the folder that holds ``configs/``, ``tools/`` and ``model-index.yml``.

    That is ``mmrefine/.mim`` in an installed package (a wheel carries copies, an editable install links) and the
    repository itself when it is used from a bare checkout.

    Raises:
        FileNotFoundError: If neither is there: the package was not built by its own ``setup.py``.

    Example:
        >>> (mim_root() / 'configs').is_dir()
        True
    """
    for root in (_PACKAGE / '.mim', _PACKAGE.parent):
        if (root / 'model-index.yml').is_file():
            return root
    raise FileNotFoundError(
        f'the configs of mmrefine are neither in {_PACKAGE / ".mim"} nor beside the package; install mmrefine again '
        'with pip, from a wheel or from the repository'
    )


def find_config(name: str | Path) -> Path:
    """Finds a config file by path or by its name under ``configs/``.

    Args:
        name: A path to an existing file, or a path relative to ``configs/`` with or without ``.py``, such as
            ``'segrefiner/segrefiner_tiny'``.

    Returns:
        Path of an existing config file.

    Raises:
        FileNotFoundError: If there is no such file in either place.

    Example:
        >>> find_config('segrefiner/segrefiner_tiny_folder').name
        'segrefiner_tiny_folder.py'
    """
    if Path(name).is_file():
        return Path(name)
    shipped = mim_root() / 'configs' / name
    for path in (shipped, shipped.with_name(shipped.name + '.py')):
        if path.is_file():
            return path
    raise FileNotFoundError(f'no config {str(name)!r}: neither a file nor a config under {mim_root() / "configs"}')
