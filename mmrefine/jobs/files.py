"""A job's memory of what is done already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmrefine.files.atomic import whole_file

_FOLDER_SIZE = 1000


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
