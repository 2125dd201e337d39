"""What cannot be used of a dataset is left out and told; too much of it ends the training."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

_LIMIT, _LIMIT_SHARE = 100, 0.05


class BrokenSampleError(ValueError):
    """A sample whose files cannot be read or whose masks cannot be used; the text says which and why."""


class LeftOut:
    """Counts what was left out, and warns of each once.

    Args:
        what: is left out, in the plural.
        limit: how many may be, if they are more than a twentieth of what was seen.
    """

    def __init__(self, what: str, limit: int = _LIMIT):
        self.what, self.limit = what, limit
        self._known: set[str] = set()
        self._seen = 0

    def see(self, count: int = 1) -> None:
        """Count what was usable."""
        self._seen += count

    def add(self, name: str, reason: str) -> None:
        """Leave something out.

        Raises:
            RuntimeError: it is too much.
        """
        self._seen += 1
        if name in self._known:
            return
        self._known.add(name)
        print_log(f'{name} is left out: {reason}', logger='current', level=logging.WARNING)
        if len(self._known) > max(self.limit, _LIMIT_SHARE * self._seen):
            raise RuntimeError(
                f'{len(self._known)} {self.what} cannot be used, the last one {name}: {reason} Mend the dataset.'
            )
