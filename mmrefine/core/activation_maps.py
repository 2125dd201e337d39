"""Class activation maps: read from files without running what is in them, and turned into label maps.

Legend: K classes, H and W in pixels. Classes are counted from 0 without the background, as the tools that make such
maps do; in a label map they are counted from 1, with 0 for the background.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_ALLOWED = {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    *(
        (module, name)
        for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
        for name in ('_reconstruct', 'scalar')
    ),
    *((module, '_frombuffer') for module in ('numpy.core.numeric', 'numpy._core.numeric')),
}
_SCORE_KEYS = ('high_res', 'cam', 'cams')


def load_activation_maps(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the class activation maps of one image.

    Understood, in `.npz` archives and in `.npy` files that hold one dictionary: one (H, W) map per class, under the
    class as key (a number, or its digits); or ``keys`` (K,) beside ``high_res``, ``cam`` or ``cams`` (K, H, W), in this
    order of preference.

    Args:
        path: of the file. Dictionaries are pickles: they are read by an unpickler that knows numpy's types only.

    Returns:
        classes (K,) int64 and scores (K, H, W) float32.

    Raises:
        ValueError: the file is of another kind, holds other things, or has maps of different sizes.
    """
    path = Path(path)
    if path.suffix == '.npz':
        with np.load(path, allow_pickle=False) as archive:
            content: Any = {name: archive[name] for name in archive.files}
    elif path.suffix == '.npy':
        content = _load_npy(path)
    else:
        raise ValueError(f'{path}: activation maps are read from .npz and .npy files.')
    if not isinstance(content, Mapping):
        raise ValueError(f'{path}: expected a dictionary of maps per class, got {type(content).__name__}.')
    return _classes_and_scores(content, path)


def activation_label_map(classes: np.ndarray, scores: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of every pixel, with (1 - max score)^alpha for the background.

    Args:
        classes: (K,) int, counted from 0 without the background.
        scores: (K, H, W) float in [0, 1].
        alpha: the higher, the less background.

    Returns:
        label map (H, W) int64, 0 for the background and class + 1 elsewhere; the winning score (H, W) float32.

    Raises:
        ValueError: other shapes, or scores outside [0, 1].
    """
    if scores.ndim != 3 or len(scores) != len(classes):
        raise ValueError(f'scores must be (K, H, W) for {len(classes)} classes, got shape {scores.shape}.')
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            f'scores must lie in [0, 1], got {scores.min():.4g} to {scores.max():.4g}; divide each map by its maximum.'
        )
    peak = scores.max(axis=0, initial=0)
    stacked = np.concatenate([(1 - peak)[None] ** alpha, scores]).astype(np.float32)
    labels = np.concatenate([[0], np.asarray(classes, np.int64) + 1])
    return labels[stacked.argmax(axis=0)], stacked.max(axis=0)


def _classes_and_scores(content: Mapping, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if 'keys' in content:
        name = next((key for key in _SCORE_KEYS if key in content), None)
        if name is None:
            raise ValueError(f'{path}: "keys" stands without any of {_SCORE_KEYS}; found {sorted(map(str, content))}.')
        classes, scores = np.asarray(content['keys']), np.asarray(content[name])
    else:
        if not all(str(key).isdigit() for key in content):
            raise ValueError(f'{path}: expected class numbers as keys, found {sorted(map(str, content))[:5]}.')
        classes = np.array([int(key) for key in content], np.int64)
        maps = [np.asarray(value) for value in content.values()]
        if len({one.shape for one in maps}) > 1:
            raise ValueError(f'{path}: the maps have different sizes, {sorted({one.shape for one in maps})}.')
        scores = np.stack(maps) if maps else np.zeros((0, 0, 0))
    if scores.ndim != 3 or len(scores) != len(classes):
        raise ValueError(f'{path}: expected {len(classes)} maps (K, H, W), got an array of shape {scores.shape}.')
    if not (np.issubdtype(classes.dtype, np.integer) and np.issubdtype(scores.dtype, np.floating)):
        raise ValueError(f'{path}: expected integer classes and float maps, got {classes.dtype} and {scores.dtype}.')
    return classes.astype(np.int64), scores.astype(np.float32)


def _load_npy(path: Path) -> Any:
    """What a `.npy` file holds: an array, or the object inside of a 0-dimensional object array."""
    data = path.read_bytes()
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        _, _, dtype = read_header[version](stream)
    except (ValueError, KeyError) as error:
        raise ValueError(f'{path}: not a .npy file ({error}).') from error
    if not dtype.hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    try:
        content = _NumpyUnpickler(stream).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, IndexError, KeyError) as error:
        raise ValueError(f'{path}: {error}') from error
    return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content


class _NumpyUnpickler(pickle.Unpickler):
    """Builds numpy arrays, scalars and Python's plain containers; anything else is refused before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f'the file asks for {module}.{name}; only numpy types are read: save arrays (tensor.numpy()) instead.'
            )
        return super().find_class(module, name)
