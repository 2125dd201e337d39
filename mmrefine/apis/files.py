"""Files of a job: whole or not at all, and a memory of what is done already."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_FOLDER_SIZE = 1000


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


class PartStore:
    """What a job has done, one small JSON file per task, so that a killed job can go on.

    Args:
        folder: made when the first part is written.
        settings: what the results depend on, as JSON can hold it.

    Raises:
        ValueError: the folder holds parts of a job with other settings.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder = folder
        known = folder / 'settings.json'
        if known.is_file():
            check_same_settings(json.loads(known.read_text(encoding='utf-8')), settings, folder.parent)
        else:
            with whole_file(known) as file:
                json.dump(settings, file)

    def has(self, index: int) -> bool:
        """Whether the task was done."""
        return self._path(index).is_file()

    def write(self, index: int, part: Any) -> None:
        """Keep the outcome of a task; it counts as done from now on."""
        with whole_file(self._path(index)) as file:
            file.write(json.dumps(part))  # json.dump takes four times as long

    def read(self, index: int) -> Any:
        """The outcome of a task that was done."""
        return json.loads(self._path(index).read_text(encoding='utf-8'))

    def _path(self, index: int) -> Path:
        # Folders of a million files are slow to list and to delete.
        return self.folder / f'{index // _FOLDER_SIZE:06d}' / f'{index:09d}.json'


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


def check_same_settings(known: dict, settings: dict, out: Path) -> None:
    """Refuse to mix results.

    Raises:
        ValueError: the settings differ.
    """
    differing = [key for key in sorted({*known, *settings}) if known.get(key) != settings.get(key)]
    if differing:
        shown = [f'{key} {_short(known.get(key))}, now {_short(settings.get(key))}' for key in differing]
        raise ValueError(
            f'{out} holds results of a job with other settings ({"; ".join(shown)}); '
            'choose another --out, or start anew with --overwrite.'
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + '...'
