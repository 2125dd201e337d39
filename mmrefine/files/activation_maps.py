"""Class activation maps, read from files without running what is in them. Legend: K classes, H and W in pixels.

Classes are counted from 0 without the background, as the tools that make such maps do.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

_ALLOWED = {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    *(
        (module, name)
        for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
        for name in ('_reconstruct', 'scalar')
    ),
    *((module, '_frombuffer') for module in ('numpy.core.numeric', 'numpy._core.numeric')),
    ('torch._utils', '_rebuild_tensor_v2'),
    ('collections', 'OrderedDict'),
}
_SCORE_KEYS = ('high_res', 'cam', 'cams')
_EXPECTED = (
    '"keys" (K class numbers) beside "high_res", "cam" or "cams" (K, H, W), or one (H, W) map under each class number'
)


def load_activation_maps(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the class activation maps of one image.

    Understood, in `.npz` archives and in `.npy` files that hold one dictionary: one (H, W) map per class, under the
    class as key (a number, or its digits); or ``keys`` (K,) beside ``high_res``, ``cam`` or ``cams`` (K, H, W), in this
    order of preference.

    Args:
        path: of the file. Dictionaries are pickles: they are read by an unpickler that knows numpy's types and
            tensors on the CPU only.

    Returns:
        classes (K,) int64 and scores (K, H, W) float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, damaged, holds other things, or has maps of different sizes.
    """
    path = Path(path)
    if path.suffix not in ('.npz', '.npy'):
        raise ValueError(f'{path}: activation maps are read from .npz and .npy files.')
    try:
        content = _load_npz(path) if path.suffix == '.npz' else _load_npy(path)
    except OSError:
        raise
    except Exception as error:  # a foreign or damaged file can fail anywhere in the readers
        raise ValueError(f'{path} cannot be read as activation maps: {error}') from error
    if not isinstance(content, Mapping):
        raise ValueError(f'{path}: expected a dictionary with {_EXPECTED}; got {type(content).__name__}.')
    return _classes_and_scores(content, path)


def _classes_and_scores(content: Mapping, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if 'keys' in content:
        name = next((key for key in _SCORE_KEYS if key in content), None)
        if name is None:
            raise ValueError(f'{path}: expected {_EXPECTED}; found {sorted(map(str, content))}.')
        classes, scores = np.asarray(content['keys']), np.asarray(content[name])
    else:
        if not all(str(key).isdigit() for key in content):
            raise ValueError(f'{path}: expected {_EXPECTED}; found {sorted(map(str, content))[:5]}.')
        classes = np.array([int(key) for key in content], np.int64)
        maps = [np.asarray(value) for value in content.values()]
        if len({one.shape for one in maps}) > 1:
            raise ValueError(f'{path}: the maps have different sizes, {sorted({one.shape for one in maps})}.')
        scores = np.stack(maps) if maps else np.zeros((0, 0, 0))
    if scores.ndim != 3 or len(scores) != len(classes):
        raise ValueError(f'{path}: expected {len(classes)} maps (K, H, W), got an array of shape {scores.shape}.')
    if not (np.issubdtype(classes.dtype, np.integer) and np.issubdtype(scores.dtype, np.floating)):
        raise ValueError(f'{path}: expected integer classes and float maps, got {classes.dtype} and {scores.dtype}.')
    if classes.size and classes.min() < 0:
        raise ValueError(f'{path}: classes are counted from 0 without the background, got {classes.tolist()}.')
    return classes.astype(np.int64), scores.astype(np.float32)


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _load_npy(path: Path) -> Any:
    """What a `.npy` file holds: an array, or the object inside of a 0-dimensional object array."""
    data = path.read_bytes()
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        _, _, dtype = read_header[version](stream)
    except (ValueError, KeyError) as error:
        raise ValueError(f'not a .npy file ({error}).') from error
    if not dtype.hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    content = _ArrayUnpickler(stream).load()
    return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays, tensors, scalars and Python's plain containers; all else is refused before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _load_storage
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f'the file asks for {module}.{name}; only arrays and tensors are read.')
        return super().find_class(module, name)


def _load_storage(data: bytes) -> Any:
    """A tensor's numbers, which are a torch file inside of the pickle: read without the objects it could build."""
    return torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)
