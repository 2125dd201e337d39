"""Unusable samples of a dataset: each is skipped with a warning, too many end the training."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

_LIMIT, _LIMIT_SHARE = 100, 0.05


class BrokenSampleError(ValueError):
    """A sample whose files cannot be read or whose masks cannot be used."""


class SkippedSamples:
    """Counter of skipped samples, with one warning for each.

    Args:
        what: the kind of samples, in the plural.
        limit: how many may be skipped, as long as they exceed a twentieth of all.
    """

    def __init__(self, what: str, limit: int = _LIMIT):
        self.what, self.limit = what, limit
        self._names: set[str] = set()
        self._num_seen = 0

    def count_usable(self, count: int = 1) -> None:
        """Count usable samples."""
        self._num_seen += count

    def skip(self, name: str, reason: str) -> None:
        """Skip a sample.

        Raises:
            RuntimeError: too many were skipped.
        """
        self._num_seen += 1
        if name in self._names:
            return
        self._names.add(name)
        print_log(f'{name} is left out: {reason}', logger='current', level=logging.WARNING)
        if len(self._names) > max(self.limit, _LIMIT_SHARE * self._num_seen):
            raise RuntimeError(
                f'{len(self._names)} {self.what} cannot be used, the last one {name}: {reason} Repair the dataset.'
            )
