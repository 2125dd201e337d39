"""Content digests of files."""

from __future__ import annotations

import hashlib
import os

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
