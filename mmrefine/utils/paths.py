"""Paths of configs, tools and `model-index.yml` in installed packages and checkouts."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def mim_root() -> Path:
    """The folder that contains ``configs/``, ``tools/`` and ``model-index.yml``.

    This is ``mmrefine/.mim`` in an installed package (with copies in a wheel, links in an editable install), and the
    root of the repository if the package is not installed.

    Raises:
        FileNotFoundError: neither exists, because the package was not built by its ``setup.py``.

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
    """Find a config file by its path, or by its name under ``configs/``.

    Args:
        name: path of an existing file, or a path relative to ``configs/`` with or without ``.py``, such as
            ``'segrefiner/segrefiner_tiny'``.

    Returns:
        path of an existing config file.

    Raises:
        FileNotFoundError: there is no such file.

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
