"""File names: search, validation, Unicode equivalence, display."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmrefine.files.manifest import is_job_folder, read_manifest

_LONGEST_NAME = 255  # bytes, of nearly all file systems


def find_files(path: str | os.PathLike, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files under a folder, recursively, by their names relative to it; a file alone by its own name.

    Hidden files are left out, and what is in hidden folders: such as the ``._a.jpg`` that macOS leaves on other disks.
    So are the results of jobs: folders under this one that hold some, and what the manifest of this one names.

    Args:
        path: a folder, or a file.
        suffixes: in lower case, with the dot; others are left out.

    Returns:
        In the order of the names. Pipes and broken links are listed; reading them fails.
    """
    path = Path(path)
    if not path.is_dir():
        return {path.name: path} if path.suffix.lower() in suffixes else {}
    found = {}
    results = read_manifest(path)
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith('.') and not is_job_folder(Path(folder, name))]
        for name in names:
            if not name.startswith('.') and os.path.splitext(name)[1].lower() in suffixes:
                file = Path(folder, name)
                found[file.relative_to(path).as_posix()] = file
    for name in results & found.keys():
        del found[name]
    return dict(sorted(found.items(), key=lambda item: PurePosixPath(item[0])))


def check_readable(path: str | os.PathLike, what: str = 'file') -> Path:
    """Accept a file that can be opened without waiting for another process.

    Raises:
        FileNotFoundError: there is nothing under this name.
        ValueError: it is a folder, a pipe or a device, or no file can have this name.
    """
    reason = name_problem(os.path.basename(os.fspath(path)) or os.fspath(path))
    if reason:
        raise ValueError(f'{what} {str(path)!r} cannot be a path: {reason}.')
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
    """Where a path leads, links followed; other than :meth:`pathlib.Path.resolve` also where they lead in a circle."""
    return Path(os.path.realpath(path))


def name_problem(name: Any) -> str:
    """Why no file can have this name; '' for a usable one, which may start with folders."""
    if not isinstance(name, str):
        return f'a name must be a text, got {"null" if name is None else repr(name)[:80]}'
    last = name.replace('\\', '/').rsplit('/', 1)[-1]
    if last in ('', '.', '..'):
        return f'a name must end with a file name, got {name!r}'
    if '\0' in name:
        return f'a name must not contain NUL, got {name[:80]!r}'
    try:
        longest = max(len(os.fsencode(part)) for part in name.split('/'))
    except UnicodeEncodeError:
        return f'a name must be valid Unicode, got {name[:80]!r}'
    if longest > _LONGEST_NAME:
        return f'a name must have at most {_LONGEST_NAME} bytes, got {longest}'
    return ''


def name_key(name: str) -> str:
    """Normalized name: equal for composed and decomposed accents, and for / and \\ between folders."""
    return str(PurePosixPath(unicodedata.normalize('NFC', name).replace('\\', '/')))


def without_suffix(name: str) -> str:
    """The :func:`name_key` of a name less its suffix."""
    return str(PurePosixPath(name_key(name)).with_suffix(''))


def inside(name: str) -> str:
    """A name that stays under a folder: folders by /, without what leads upwards or to the root."""
    parts = PurePosixPath(name.replace('\\', '/').replace('\0', '_')).parts
    return '/'.join(part for part in parts if part not in ('/', '//', '.', '..')) or '_'


def locate(folder: Path, name: str) -> Path:
    """Path of a file by its name or an equivalent one."""
    plain = name.replace('\\', '/')
    candidates = [name, plain, *(unicodedata.normalize(form, plain) for form in ('NFC', 'NFD'))]
    paths = [folder / candidate for candidate in dict.fromkeys(candidates)]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


def printable(text: str) -> str:
    """Text for a terminal, with control characters and invalid characters escaped."""
    return ''.join(
        character
        if character.isprintable() or character in '\n\t'
        else character.encode('unicode_escape', 'surrogatepass').decode('ascii')
        for character in text
    )
