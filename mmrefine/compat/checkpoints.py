"""Lets mmengine resume its own checkpoints where ``torch.load`` is safe by default (PyTorch 2.6 and later).

Besides tensors, mmengine 0.10 stores its log history: `HistoryBuffer` objects, numpy arrays and numpy scalars, which
the safe unpickler refuses. They are added to PyTorch's allow-list; nothing here switches ``weights_only`` off.
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
    """The only use of ``getattr`` that is allowed in a checkpoint: looking up a statistic of a `HistoryBuffer`."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(f'refused a checkpoint that looks up {name!r} of {owner!r}; it is not one of mmengine')
    return getattr(HistoryBuffer, name)


def _under(path: str, function: Callable) -> Callable:
    """Returns ``function`` under another dotted path, by which the allow-list matches names in pickles."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, _, alias.__name__ = path.rpartition('.')
    alias.__qualname__ = alias.__name__
    return alias


def _numpy_pickle_helpers() -> list[Callable]:
    """numpy's two reconstructors, at their paths in numpy 1 (``numpy.core``) and numpy 2 (``numpy._core``)."""
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
    """Adds what mmengine stores in a checkpoint to the types that ``torch.load(weights_only=True)`` accepts.

    Safe to call again. Everything else stays refused. Before PyTorch 2.6 ``torch.load`` is unsafe by default and
    mmengine resumes without this; load untrusted files there with ``weights_only=True``, which this serves as well.
    """
    torch.serialization.add_safe_globals(_ALLOWED)
