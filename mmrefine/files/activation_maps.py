"""Safe reading of class activation maps from NumPy and torch files. Legend: K classes, H and W in pixels.

Classes are returned numbered from 0 without the background, as most tools number them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrefine.files.array_pickles import load_array_pickle
from mmrefine.files.names import check_readable

_SCORE_KEYS = ('high_res', 'attn_highres', 'hr_cam', 'cam', 'cams')
_EXPECTED = (
    '"keys" (K class numbers) beside "high_res" (IRN), "attn_highres" (CLIP-ES), "hr_cam" (PuzzleCAM), "cam" or "cams" '
    '(K, H, W), or one (H, W) map for each class number as key; another key can be given by name'
)


@dataclass(frozen=True)
class MapNames:
    """Keys and class numbering in the files of a CAM tool.

    Attributes:
        scores: key of the (K, H, W) maps beside ``keys``; None: the first known key that exists.
        first_class: number of the first class. 1: class 0 is the background, which is skipped. None: 0, or 1 if there
            is one more class number than maps and the first one is 0.

    Raises:
        ValueError: ``first_class`` is not 0, 1 or None.
    """

    scores: str | None = None
    first_class: int | None = None

    def __post_init__(self):
        if self.first_class not in (None, 0, 1):
            raise ValueError(f'the first class must have the number 0 or 1, got {self.first_class}.')


DEFAULT_NAMES = MapNames()


def load_activation_maps(path: str | Path, names: MapNames = DEFAULT_NAMES) -> tuple[np.ndarray, np.ndarray]:
    """Read the class activation maps of one image.

    Understood, in `.npz` archives and in `.npy` files that hold one dictionary: one (H, W) map per class, under the
    class number as key (integer or string); or ``keys`` (K,) beside the maps (K, H, W), whose key is ``high_res``,
    ``attn_highres``, ``hr_cam``, ``cam`` or ``cams``, in this order of preference. Maps are arrays or tensors of any
    float type.

    Args:
        path: the file. Dictionaries are pickles, see
            :func:`~mmrefine.files.array_pickles.load_array_pickle`.
        names: keys and class numbering of the tool that wrote the file.

    Returns:
        classes (K,) int64, numbered from 0 without the background, and scores (K, H, W) float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, contains anything else, or has maps of different sizes.
    """
    path = check_readable(path)
    if path.suffix not in ('.npz', '.npy'):
        raise ValueError(f'{path}: activation maps are read from .npz and .npy files.')
    try:
        content = _load_npz(path) if path.suffix == '.npz' else _load_npy(path)
    except Exception as error:  # damaged files can fail anywhere in the readers
        raise ValueError(f'{path} cannot be read as activation maps: {error}') from error
    if not isinstance(content, Mapping):
        raise ValueError(f'{path}: expected a dictionary with {_EXPECTED}; got {type(content).__name__}.')
    try:
        classes, scores = _numbers_and_maps(content, names.scores)
        return _without_background(classes, scores, names.first_class)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _numbers_and_maps(content: Mapping, score_key: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers as in the file, and maps (K, H, W) float32."""
    if 'keys' in content:
        known = _SCORE_KEYS if score_key is None else (score_key,)
        name = next((key for key in known if key in content), None)
        if name is None:
            wanted = _EXPECTED if score_key is None else f'the key {score_key!r}'
            raise ValueError(f'expected {wanted}; found {sorted(map(str, content))}.')
        classes, scores = _array(content['keys']), _array(content[name])
    else:
        if not all(str(key).isdigit() for key in content):
            raise ValueError(f'expected {_EXPECTED}; found {sorted(map(str, content))[:5]}.')
        classes = np.array([int(key) for key in content], np.int64)
        maps = [_array(value) for value in content.values()]
        if len({one.shape for one in maps}) > 1:
            raise ValueError(f'the maps have different sizes, {sorted({one.shape for one in maps})}.')
        scores = np.stack(maps) if maps else np.zeros((0, 0, 0))
    if scores.ndim != 3 or classes.ndim != 1:
        raise ValueError(f'expected {classes.size} maps (K, H, W), got an array of shape {scores.shape}.')
    is_numbered = not classes.size or np.issubdtype(classes.dtype, np.integer)
    if not (is_numbered and np.issubdtype(scores.dtype, np.floating)):
        raise ValueError(f'expected integer classes and float maps, got {classes.dtype} and {scores.dtype}.')
    if len(set(classes.tolist())) < len(classes):
        raise ValueError(f'expected one map per class, got the classes {str(classes.tolist())[:60]}.')
    return classes.astype(np.int64), scores.astype(np.float32)


def _without_background(
    classes: np.ndarray, scores: np.ndarray, first_class: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Classes numbered from 0 without the background, and their maps."""
    has_extra_key = len(classes) == len(scores) + 1 and classes[0] == 0
    if first_class is None:
        first_class = int(has_extra_key)
    if first_class == 1:
        if has_extra_key:
            classes = classes[1:]
        elif len(classes) == len(scores):
            classes, scores = classes[classes != 0], scores[classes != 0]
    if len(scores) != len(classes):
        raise ValueError(f'expected {len(classes)} maps (K, H, W), got an array of shape {scores.shape}.')
    if classes.size and classes.min() < first_class:
        raise ValueError(
            f'expected classes numbered from {first_class} without the background, got {classes.tolist()}.'
        )
    return classes - first_class, scores


def _array(value: Any) -> np.ndarray:
    """Convert a tensor or array to an array; numpy supports neither gradients nor bfloat16."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _load_npy(path: Path) -> Any:
    """Content of a `.npy` file: an array, or the object inside a 0-dimensional object array."""
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
    return load_array_pickle(stream)
