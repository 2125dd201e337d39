"""Files of the user's, written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class OutputError(OSError):
    """A result could not be written; the text says why and what to do."""


@contextmanager
def whole_file(path: Path, mode: str = 'w') -> Iterator[IO]:
    """Open a file for writing that appears under its name when it is complete, and not before.

    The unfinished file has one fixed name, so that a job that is killed and started again leaves nothing behind.

    Args:
        path: missing folders are made.
        mode: ``'w'`` for text in UTF-8, ``'wb'`` for bytes.

    Raises:
        OutputError: the disk is full or the place cannot be written to.
    """
    unfinished = path.with_name(f'.{path.name}.unfinished')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, mode, encoding=None if 'b' in mode else 'utf-8') as file:
            yield file
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutputError(
                f'the disk is full: {path} could not be written; free some space and start the same command again, '
                'it goes on where it stopped.'
            ) from error
        raise OutputError(f'{path} cannot be written ({error.strerror or error}); choose another --out.') from error


def remove_results(*paths: Path) -> None:
    """Delete files and folders of a job that are there.

    Raises:
        OutputError: they cannot be deleted.
    """
    try:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f'{error.filename} cannot be deleted ({error.strerror}); choose another --out.') from error
