"""Safe unpickling of arrays and tensors from untrusted files: no code is run, and sizes are verified.

numpy's reconstructors trust the sizes and dtypes in a pickle, so that a damaged file can crash the process. Here arrays
are built from their bytes and a numeric dtype after both have been validated.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import torch

_PLAIN_TYPE = re.compile(r'[biuf?][0-9]{0,2}')
_OBJECT_TYPES = ('O', 'O8', 'O4')
_OTHERS = {
    *(('torch._utils', name) for name in ('_rebuild_tensor_v2', '_rebuild_parameter')),
    ('collections', 'OrderedDict'),
}


def load_array_pickle(stream: BinaryIO) -> Any:
    """Load a pickle of arrays, tensors, scalars and Python's built-in containers.

    Raises:
        ValueError, pickle.UnpicklingError: it contains anything else, or is damaged; damage may raise other errors too.
    """
    return _plain(_ArrayUnpickler(stream).load())


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that refuses all names except those of arrays and tensors, before anything is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split('.')[0] == 'numpy' and name in _OURS:
            return _OURS[name]
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _load_storage
        if (module, name) not in _OTHERS:
            raise pickle.UnpicklingError(f'the file refers to {module}.{name}; only arrays and tensors are read.')
        return super().find_class(module, name)


class _Type:
    """Stand-in for ``numpy.dtype``: its name and, from its state, the byte order."""

    def __init__(self, name: str, *_: Any):
        if name not in _OBJECT_TYPES and not (isinstance(name, str) and _PLAIN_TYPE.fullmatch(name)):
            raise ValueError(f'arrays must contain numbers, got the dtype {str(name)[:40]!r}')
        self.name, self.order = name, '|'

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]
        if self.order not in ('<', '>', '|', '='):
            raise ValueError(f'the byte order {str(self.order)[:40]!r} is unknown')

    @property
    def holds_objects(self) -> bool:
        return self.name in _OBJECT_TYPES

    def build(self) -> np.dtype:
        return np.dtype(self.name).newbyteorder(self.order)


class _Array:
    """Stand-in for ``numpy.ndarray``, which a pickle creates empty before setting its state."""

    value: Any = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, is_fortran, data = state
        if isinstance(kind, _Type) and kind.holds_objects:
            if not isinstance(data, list) or len(data) != math.prod(_sizes(shape)):
                raise ValueError('the number of elements of an object array does not match its shape')
            self.value = data if shape else data[0]
        else:
            self.value = _from_bytes(data, kind, shape, 'F' if is_fortran else 'C')


def _empty_array(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()


def _scalar(kind: _Type, data: bytes) -> np.generic:
    return _from_bytes(data, kind, (), 'C')[()]


def _from_bytes(data: Any, kind: Any, shape: Any, order: str, *_: Any) -> np.ndarray:
    if not isinstance(kind, _Type) or kind.holds_objects:
        raise ValueError('an array without a numeric dtype')
    dtype, sizes = kind.build(), _sizes(shape)
    if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(sizes) * dtype.itemsize:
        raise ValueError(f'the number of bytes of an array does not match its shape {sizes}')
    return np.frombuffer(bytes(data), dtype).reshape(sizes, order='F' if order == 'F' else 'C')


def _sizes(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, Sequence) or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f'{str(shape)[:40]} is not an array shape')
    return tuple(shape)


def _load_storage(data: bytes) -> Any:
    """Storage of a tensor, a torch file inside the pickle; it is read with ``weights_only``."""
    return torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)


def _plain(value: Any) -> Any:
    """Replace stand-ins by arrays."""
    if isinstance(value, _Array):
        return _plain(value.value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


_OURS = {
    'dtype': _Type,
    'ndarray': _Array,
    '_reconstruct': _empty_array,
    'scalar': _scalar,
    '_frombuffer': _from_bytes,
}
