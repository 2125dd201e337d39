"""Digests of files, JSON values and configs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 2**20


def file_digest(path: str | os.PathLike, algorithm: str = 'sha256') -> str:
    """Hexadecimal digest of a file's content.

    Args:
        path: the file.
        algorithm: name of an algorithm of :mod:`hashlib`.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, shortened to 128 bits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """Convert a config to JSON values, with paths of files replaced by digests of their content."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (str, Path)) and (os.path.isabs(value) or _is_file(value)):
        return file_digest(value) if _is_file(value) and os.path.getsize(value) else 'no content'
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _is_file(value: str | Path) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL character
        return False
