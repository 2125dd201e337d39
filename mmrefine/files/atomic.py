"""Atomic writing of files and folders."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_MAX_NAME_BYTES = 255  # of nearly all file systems


class OutputError(OSError):
    """A result could not be written."""


@contextmanager
def whole_path(path: str | os.PathLike, shared: bool = False, unfinished: Path | None = None) -> Iterator[Path]:
    """Context manager that gives a temporary path to write to, which replaces the file when the block ends.

    After a power failure there is either the old or the new file. The temporary path is always the same, so that a job
    that is killed and restarted leaves nothing behind.

    Args:
        path: the file to write; missing folders are created.
        shared: other processes or threads may write the same file; each gets a temporary path of its own.
        unfinished: the temporary path, on the same disk; None: a hidden file beside ``path``.

    Raises:
        OutputError: the disk is full, or the path is not writable.
    """
    path = Path(path)
    unfinished = unfinished or _unfinished(path, f'.{os.getpid()}-{threading.get_ident()}' if shared else '')
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            unfinished.unlink(missing_ok=True)  # do not write through a symbolic link
            yield unfinished
            with open(unfinished, 'rb') as file:
                os.fsync(file.fileno())
            os.replace(unfinished, path)
            _sync_folder(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        if not _is_about(error, path, unfinished):
            raise
        if error.errno in _NO_SPACE:
            raise OutputError(
                f'the disk is full: {path} could not be written; free some space and run the same command again, it '
                'resumes where it stopped.'
            ) from error
        raise OutputError(f'{path} cannot be written ({error.strerror or error}); choose another --out.') from error


@contextmanager
def whole_file(
    path: str | os.PathLike, mode: str = 'w', shared: bool = False, unfinished: Path | None = None
) -> Iterator[IO]:
    """Open a file for atomic writing; see :func:`whole_path`.

    Args:
        path: the file to write; missing folders are created.
        mode: ``'w'`` for UTF-8 text, ``'wb'`` for bytes.
        shared, unfinished: see :func:`whole_path`.

    Raises:
        OutputError: the disk is full, or the path is not writable.
    """
    with (
        whole_path(path, shared, unfinished) as name,
        open(name, mode.replace('w', 'x'), encoding=None if 'b' in mode else 'utf-8') as file,
    ):
        yield file


def remove_results(*paths: Path) -> None:
    """Delete files and folders of a job, if they exist.

    Raises:
        OutputError: they cannot be deleted.
    """
    try:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f'{error.filename} cannot be deleted ({error.strerror}); choose another --out.') from error


def _sync_folder(folder: Path) -> None:
    """Flush the directory entries of a folder to the disk, where the system supports it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_about(error: OSError, path: Path, unfinished: Path) -> bool:
    """Whether an error comes from writing this file, and not from other work inside the block, such as reading."""
    if isinstance(error, OutputError) or error.errno is None:
        return False
    paths = (path, unfinished, *path.parents, *unfinished.parents)
    return error.filename is None or Path(os.fsdecode(error.filename)) in paths


def _unfinished(path: Path, mark: str) -> Path:
    name = f'.{path.name}{mark}.unfinished'
    if len(os.fsencode(name)) > _MAX_NAME_BYTES:
        name = f'.{hashlib.sha256(os.fsencode(path.name)).hexdigest()}{mark}.unfinished'
    return path.with_name(name)
