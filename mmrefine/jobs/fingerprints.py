"""Detection of changed inputs, first by size and modification time, which is cheap, then by content.

A fingerprint is stored as JSON with each result. It does not depend on folders, so that they may be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrefine.files.digests import digest_of, file_digest


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint of something that a result depends on.

    Args:
        quick: cheap digest, such as of sizes and times; if it is the same, so is the content.
        content: returns the digest of the content; called only if needed.
    """

    quick: str
    content: Callable[[], str]

    def as_json(self) -> list[str]:
        """The fingerprint as JSON values, to be stored with a result."""
        return [self.quick, self.content()]

    def agrees(self, known: Any) -> bool:
        """Whether a stored fingerprint has the same content."""
        if not isinstance(known, list) or len(known) != 2:
            return False
        return known[0] == self.quick or known[1] == self.content()


def fingerprint_files(paths: Iterable[Path]) -> Fingerprint:
    """Fingerprint of files in this order; one that is missing or cannot be read counts as a content of its own."""
    paths = list(paths)
    quick = digest_of([[path.name, _stat(path)] for path in paths])
    return Fingerprint(quick, lambda: digest_of([[path.name, _content(path)] for path in paths]))


def fingerprint_value(value: Any) -> Fingerprint:
    """Fingerprint of a JSON value."""
    digest = digest_of(value)
    return Fingerprint(digest, lambda: digest)


def _stat(path: Path) -> list[int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _content(path: Path) -> str | None:
    try:
        return file_digest(path) if path.is_file() else None
    except OSError:
        return None
