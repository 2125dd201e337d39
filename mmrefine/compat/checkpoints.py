"""Lets mmengine resume its own checkpoints with ``torch.load(weights_only=True)``, the default since PyTorch 2.6.

Besides tensors, mmengine 0.10 stores its log history: `HistoryBuffer` objects, numpy arrays and numpy scalars, which
the restricted unpickler refuses. They are added to PyTorch's allow-list; ``weights_only`` is not disabled.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_STATISTICS = ('current', 'max', 'mean', 'min')
_DTYPES = '?bhilqBHILQefd'


def _history_statistic(owner: Any, name: str) -> Callable:
    """The only use of ``getattr`` that is allowed in a checkpoint: to look up a statistic of a `HistoryBuffer`."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(f'refused a checkpoint that looks up {name!r} of {owner!r}; mmengine does not write this')
    return getattr(HistoryBuffer, name)


def _under(path: str, function: Callable) -> Callable:
    """The function under another dotted path, which the allow-list compares with names in pickles."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, _, alias.__name__ = path.rpartition('.')
    alias.__qualname__ = alias.__name__
    return alias


def _numpy_pickle_helpers() -> list[Callable]:
    """numpy's two reconstructors, under their paths in numpy 1 (``numpy.core``) and numpy 2 (``numpy._core``)."""
    helpers: tuple[Any, Any] = (np.empty(0).__reduce__()[0], np.float64().__reduce__()[0])
    return [_under(f'numpy.{core}.multiarray.{h.__name__}', h) for core in ('core', '_core') for h in helpers]


_ALLOWED = [
    HistoryBuffer,
    _under('builtins.getattr', _history_statistic),
    np.ndarray,
    np.dtype,
    *dict.fromkeys(type(np.dtype(code)) for code in _DTYPES),
    *_numpy_pickle_helpers(),
]


def allow_mmengine_checkpoints() -> None:
    """Add the types in mmengine's checkpoints to those that ``torch.load(weights_only=True)`` accepts.

    Idempotent. Before PyTorch 2.6, ``torch.load`` is unsafe by default; load untrusted files with
    ``weights_only=True``.
    """
    torch.serialization.add_safe_globals(_ALLOWED)
