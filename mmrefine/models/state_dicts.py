"""Safe reading of state dicts, and comparison of their keys and shapes with a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from zipfile import is_zipfile

import torch
from torch import Tensor

from mmrefine.compat import allow_mmengine_checkpoints

_NAMED = 3


def read_state_dict(checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """Read the arrays of a checkpoint by name, on the CPU, without running code from the file.

    Raises:
        FileNotFoundError, PermissionError: there is no such file, or it may not be read.
        ValueError: no checkpoint, a damaged one, or one that holds other things than arrays.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint} does not exist.')
    allow_mmengine_checkpoints()
    try:
        content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # a foreign or damaged file can fail anywhere in the reader, as OSError where it is cut
        # Today's checkpoints are zip files, in which damage is found before anything is unpickled.
        if isinstance(error, UnpicklingError) and is_zipfile(checkpoint):
            raise ValueError(
                f'checkpoint {checkpoint} holds Python objects besides arrays, which could run code; save its state '
                'dict alone.'
            ) from error
        raise ValueError(f'{checkpoint} is not a PyTorch checkpoint, or a damaged one.') from error
    # mmengine keeps weights under 'state_dict', the published SAM 2 files under 'model'.
    weights = content.get('state_dict', content.get('model', content)) if isinstance(content, dict) else None
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        found = shorten_list(list(content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'checkpoint {checkpoint} holds no weights: expected a state dict, found {found}.')
    if all(name.startswith('module.') for name in weights):
        weights = {name.removeprefix('module.'): value for name, value in weights.items()}
    return dict(weights)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of arrays and their names."""
    digest = hashlib.sha256()
    for name, array in sorted(weights.items()):
        digest.update(f'{name} {array.dtype} {tuple(array.shape)}'.encode())
        digest.update(array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def mismatched_keys(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Keys of arrays that have different shapes in two state dicts, with a description of both shapes."""
    return {
        name: f'{name} {tuple(given[name].shape)} instead of {tuple(value.shape)}'
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    }


def differences(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], optional: Collection[str] = frozenset()
) -> str:
    """Description of missing, unexpected and mismatched keys; '' if there are none.

    Args:
        optional: names of wanted ones that may be missing.
    """
    missing = sorted(wanted.keys() - given.keys() - set(optional))
    unexpected = sorted(given.keys() - wanted.keys())
    return describe_key_mismatch(missing, unexpected, list(mismatched_keys(wanted, given).values()))


def describe_key_mismatch(missing: Sequence[str], unexpected: Sequence[str], other: Sequence[str]) -> str:
    """Description of missing, unexpected and mismatched keys of a model's weights; '' if there are none."""
    kinds = (('missing', missing), ('unexpected', unexpected), ('of another shape', other))
    return ', '.join(f'{len(names)} {kind} ({shorten_list(names)})' for kind, names in kinds if names)


def shorten_list(names: Sequence[object]) -> str:
    """The first names of a list."""
    return ', '.join(map(str, names[:_NAMED])) + (', …' if len(names) > _NAMED else '')
