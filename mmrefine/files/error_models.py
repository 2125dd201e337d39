"""JSON files of mask error models."""

from __future__ import annotations

import json
import os

from mmrefine.core.error_model import MaskErrorModel
from mmrefine.files.atomic import whole_file
from mmrefine.files.json_stream import read_json


def write_error_model(path: str | os.PathLike, model: MaskErrorModel) -> None:
    """Write a model to a file.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as file:
        json.dump(model.to_dict(), file)


def read_error_model(path: str | os.PathLike) -> MaskErrorModel:
    """Read a model written by :func:`write_error_model`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a mask error model.
    """
    content = read_json(path)
    try:
        return MaskErrorModel.from_dict(content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
