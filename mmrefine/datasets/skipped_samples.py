"""Skipping of unusable samples with a warning; too many raise an error."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

from mmrefine.files.names import printable

_LIMIT, _LIMIT_SHARE = 100, 0.05


class BrokenSampleError(ValueError):
    """A sample whose files cannot be read or whose masks cannot be used."""


class SkippedSamples:
    """Counter of skipped samples, which logs a warning for each.

    Args:
        what: name of the samples in the plural.
        limit: number of samples that may be skipped; more are allowed up to 5 % of all samples.
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
        print_log(printable(f'{name} is skipped: {reason}'), logger='current', level=logging.WARNING)
        if len(self._names) > max(self.limit, _LIMIT_SHARE * self._num_seen):
            raise RuntimeError(
                f'{len(self._names)} {self.what} cannot be used; repair the dataset. The last one is {name}: {reason}'
            )
