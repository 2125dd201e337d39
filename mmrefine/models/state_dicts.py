"""Safe reading of state dicts, and comparison of their keys and shapes with those of a model."""

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
from mmrefine.utils import listed


def read_state_dict(checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint to the CPU, without running code in the file.

    Raises:
        FileNotFoundError, PermissionError: the file does not exist, or is not readable.
        ValueError: it is not a checkpoint, is damaged, or contains anything but tensors.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint} does not exist.')
    allow_mmengine_checkpoints()
    try:
        content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # damaged files can fail anywhere in the reader, truncated ones with OSError
        # Current checkpoints are zip files, in which damage is detected before anything is unpickled.
        if isinstance(error, UnpicklingError) and is_zipfile(checkpoint):
            raise ValueError(
                f'checkpoint {checkpoint} contains Python objects besides tensors, which could run code; save only '
                'its state dict.'
            ) from error
        raise ValueError(f'{checkpoint} is not a PyTorch checkpoint, or it is damaged.') from error
    # The key is 'state_dict' in checkpoints of mmengine, 'model' in those of SAM 2.
    weights = content.get('state_dict', content.get('model', content)) if isinstance(content, dict) else None
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        found = listed(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'checkpoint {checkpoint} contains no weights: expected a state dict, got {found}.')
    if all(name.startswith('module.') for name in weights):
        weights = {name.removeprefix('module.'): value for name, value in weights.items()}
    return dict(weights)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a state dict."""
    digest = hashlib.sha256()
    for name, array in sorted(weights.items()):
        digest.update(f'{name} {array.dtype} {tuple(array.shape)}'.encode())
        digest.update(array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def mismatched_keys(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Keys with different shapes in two state dicts, with a description of both shapes."""
    return {
        name: f'{name} {tuple(given[name].shape)} instead of {tuple(value.shape)}'
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    }


def differences(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], optional: Collection[str] = frozenset()
) -> str:
    """Describe missing, unexpected and mismatched keys; '' if there are none.

    Args:
        wanted, given: state dicts of the model and of the checkpoint.
        optional: keys that may be missing.
    """
    missing = sorted(wanted.keys() - given.keys() - set(optional))
    unexpected = sorted(given.keys() - wanted.keys())
    return describe_key_mismatch(missing, unexpected, list(mismatched_keys(wanted, given).values()))


def describe_key_mismatch(missing: Sequence[str], unexpected: Sequence[str], other: Sequence[str]) -> str:
    """Describe lists of missing, unexpected and mismatched keys; '' if all are empty."""
    kinds = (('missing', missing), ('unexpected', unexpected), ('of another shape', other))
    return ', '.join(f'{len(names)} {kind} ({listed(names, 3)})' for kind, names in kinds if names)
