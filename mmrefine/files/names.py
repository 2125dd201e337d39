"""File names: search, validation, Unicode equivalence, display."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmrefine.files.manifest import is_job_folder, read_manifest

_MAX_NAME_BYTES = 255  # of nearly all file systems


def find_files(path: str | os.PathLike, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files in a folder, recursively, by their path relative to it; a single file by its name.

    Hidden files and folders are skipped, such as the ``._a.jpg`` that macOS creates on other file systems. So are
    results of jobs: subfolders with a manifest, and files that the manifest of this folder lists.

    Args:
        path: a folder, or a file.
        suffixes: accepted suffixes in lower case, with the dot.

    Returns:
        files sorted by path; includes pipes and broken links, reading which fails.

    Raises:
        PermissionError: a folder cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return {path.name: path} if path.suffix.lower() in suffixes else {}
    found = {}
    results = read_manifest(path)
    for folder, folders, names in os.walk(path, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith('.') and not is_job_folder(Path(folder, name))]
        for name in names:
            if not name.startswith('.') and os.path.splitext(name)[1].lower() in suffixes:
                file = Path(folder, name)
                found[file.relative_to(path).as_posix()] = file
    for name in results & found.keys():
        del found[name]
    return dict(sorted(found.items(), key=lambda item: PurePosixPath(item[0])))


def _refuse_folder(error: OSError) -> None:
    raise type(error)(error.errno, f'folder {error.filename} cannot be read: {error.strerror}')


def check_readable(path: str | os.PathLike, what: str = 'file') -> Path:
    """Return the path if it is a regular file; reading a pipe would wait for another process.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is a folder, a pipe or a device, or not a valid path.
    """
    reason = name_problem(os.path.basename(os.fspath(path)) or os.fspath(path))
    if reason:
        raise ValueError(f'{what} {str(path)!r} is not a valid path: {reason}.')
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f'{what} {path} does not exist.') from error
    except OSError as error:
        raise type(error)(error.errno, f'{what} {path} cannot be read: {error.strerror}') from error
    if not stat.S_ISREG(mode):
        raise ValueError(
            f'{what} {path} is {"a folder" if stat.S_ISDIR(mode) else "a pipe or a device"}; expected a file.'
        )
    return Path(path)


def real_path(path: str | os.PathLike) -> Path:
    """Absolute path with links resolved; unlike :meth:`pathlib.Path.resolve` it accepts circular links."""
    return Path(os.path.realpath(path))


def name_problem(name: Any) -> str:
    """Why this is not a valid file name, which may include folders; '' if it is."""
    if not isinstance(name, str):
        return f'a name must be a string, got {"null" if name is None else repr(name)[:80]}'
    last = name.replace('\\', '/').rsplit('/', 1)[-1]
    if last in ('', '.', '..'):
        return f'a name must end with a file name, got {name!r}'
    if '\0' in name:
        return f'a name must not contain NUL, got {name[:80]!r}'
    try:
        longest = max(len(os.fsencode(part)) for part in name.split('/'))
    except UnicodeEncodeError:
        return f'a name must be valid Unicode, got {name[:80]!r}'
    if longest > _MAX_NAME_BYTES:
        return f'a name must have at most {_MAX_NAME_BYTES} bytes, got {longest}'
    return ''


def name_key(name: str) -> str:
    """Normalized name, in which composed and decomposed accents, and / and \\ as separators, are the same."""
    return str(PurePosixPath(unicodedata.normalize('NFC', name).replace('\\', '/')))


def without_suffix(name: str) -> str:
    """The :func:`name_key` of a name without its suffix."""
    return str(PurePosixPath(name_key(name)).with_suffix(''))


def inside(name: str) -> str:
    """Make a name relative and safe to join to a folder: separated by /, without ``..`` and leading slashes."""
    parts = PurePosixPath(name.replace('\\', '/').replace('\0', '_')).parts
    return '/'.join(part for part in parts if part not in ('/', '//', '.', '..')) or '_'


def locate(folder: Path, name: str) -> Path:
    """Path of a file in a folder by its name or an equivalent one (see :func:`name_key`)."""
    plain = name.replace('\\', '/')
    candidates = [name, plain, *(unicodedata.normalize(form, plain) for form in ('NFC', 'NFD'))]
    paths = [folder / candidate for candidate in dict.fromkeys(candidates)]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


def printable(text: str) -> str:
    """Escape control characters and invalid characters of a text, for terminals."""
    return ''.join(
        character
        if character.isprintable() or character in '\n\t'
        else character.encode('unicode_escape', 'surrogatepass').decode('ascii')
        for character in text
    )
