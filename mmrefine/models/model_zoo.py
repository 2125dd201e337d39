"""Building of refiners from names, configs and checkpoints."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from mmengine.config import Config
from mmengine.fileio.handlers import yaml_handler
from mmengine.logging import print_log
from torch import Tensor

from mmrefine.models.refiners import BaseRefiner
from mmrefine.models.state_dicts import describe_key_mismatch, mismatched_keys, read_state_dict
from mmrefine.registry import MODELS
from mmrefine.utils import find_config, listed

_YAML_LOCK = threading.Lock()
_WEIGHTS_DIR = Path(__file__).parent / 'weights'


@dataclass(frozen=True)
class BundledModel:
    """A model whose weights are part of the package.

    Attributes:
        config: path of its config, relative to ``configs/``.
        weights: name of its weights in ``mmrefine/models/weights/``.
    """

    config: str
    weights: str


BUNDLED_MODELS = {
    'segrefiner_tiny': BundledModel('segrefiner/segrefiner_tiny_photos.py', 'segrefiner_tiny.pth'),
}


def build_refiner(
    model: str | os.PathLike | dict = 'segrefiner_tiny',
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> BaseRefiner:
    """Build a refiner, load its weights and move it to a device.

    Args:
        model: name of a bundled model; or a config file (see :func:`mmrefine.utils.find_config`), a
            :class:`mmengine.config.Config` or a dict, with the refiner under ``model``, or the config of the refiner.
        checkpoint: file with a state dict or a checkpoint of mmengine, in any floating-point precision. None: weights
            of the bundled model, or ``load_from`` of the config.
        device: such as ``'cpu'`` or ``'cuda:1'``; None: a GPU if there is one.

    Raises:
        FileNotFoundError: the config or checkpoint does not exist.
        ValueError: the model is unknown or not a refiner, the checkpoint is damaged or does not match, or the device is
            not available.

    Example:
        >>> refiner = build_refiner('segrefiner_tiny', device='cpu')
        >>> type(refiner).__name__, str(refiner.device)
        ('SegRefiner', 'cpu')
    """
    device = pick_device(device)
    config, default_checkpoint = load_config(model)
    checkpoint = checkpoint if checkpoint is not None else default_checkpoint
    refiner_config = config['model']
    refiner_class = _class_of(refiner_config)
    if checkpoint is not None and isinstance(refiner_class, type) and issubclass(refiner_class, BaseRefiner):
        refiner_config = refiner_class.config_for_checkpoint(refiner_config)
    refiner = MODELS.build(refiner_config)
    if not isinstance(refiner, BaseRefiner):
        raise ValueError(f'the config must describe a refiner (BaseRefiner), got {type(refiner).__name__}.')
    if checkpoint is not None:
        load_weights(refiner, checkpoint)
    elif any(True for _ in refiner.parameters()):
        print_log('no checkpoint was given: weights are initialized by the config', logger='current')
    return refiner.to(device).eval()


def load_config(model: str | os.PathLike | dict) -> tuple[Config, Path | str | None]:
    """Load the config of a model, with the refiner under ``model``, and the path of its checkpoint, if any."""
    if isinstance(model, (Mapping, Config)):
        config = Config(dict(model if 'model' in model else {'model': model}))
        return config, config.get('load_from')
    if str(model) in BUNDLED_MODELS:
        bundled = BUNDLED_MODELS[str(model)]
        return Config.fromfile(find_config(bundled.config)), _WEIGHTS_DIR / bundled.weights
    try:
        path = find_config(model)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'unknown model {str(model)!r}: expected {" or ".join(map(repr, BUNDLED_MODELS))}, or a config; {error}.'
        ) from error
    config = read_config(path)
    if not isinstance(config.get('model'), Mapping):
        raise ValueError(f'config {path} has no entry "model" with a refiner.')
    return config, config.get('load_from')


def read_config(path: str | os.PathLike) -> Config:
    """Load a config file; YAML tags, which could run code, are refused.

    Raises:
        ValueError: it cannot be read.
    """
    with _YAML_LOCK:  # mmengine's YAML loader is global
        loader, yaml_handler.Loader = yaml_handler.Loader, yaml.SafeLoader
        try:
            return Config.fromfile(path)
        except (Exception, SystemExit) as error:  # a config is a program, which can raise anything
            text = ' '.join(str(error).split())
            raise ValueError(f'config {path} cannot be read ({type(error).__name__}: {text}).') from error
        finally:
            yaml_handler.Loader = loader


def _class_of(refiner_config: Mapping) -> type:
    """The class that a config names."""
    if not isinstance(refiner_config, Mapping) or not isinstance(refiner_config.get('type'), (str, type)):
        raise ValueError('the config of a refiner must have a "type" under "model", such as dict(type="SegRefiner").')
    kind = refiner_config['type']
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise ValueError(
            f'the config names the type {kind!r}, which is not registered; check the spelling, and custom_imports.'
        )
    return found


def load_weights(refiner: BaseRefiner, checkpoint: str | os.PathLike) -> None:
    """Load a state dict or a checkpoint of mmengine into a refiner (strict).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not contain weights of this refiner.

    Example:
        >>> refiner = build_refiner('segrefiner_tiny', device='cpu')
        >>> load_weights(refiner, 'segrefiner_tiny')
    """
    weights = read_weights(checkpoint)
    wanted = refiner.state_dict()
    other = mismatched_keys(wanted, weights)
    # Not strict, because refiners may drop keys before the rest is compared below.
    fitting = {name: value for name, value in weights.items() if name not in other}
    try:
        missing, unexpected = refiner.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # mismatched shapes under keys that the refiner renames
        reasons = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise ValueError(
            f'checkpoint {checkpoint} does not match the {type(refiner).__name__} of the config: '
            f'{listed(reasons, 3)} Give the config that the checkpoint was trained with.'
        ) from error
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ValueError(
            f'checkpoint {checkpoint} contains NaN or infinite weights ({listed(broken, 3)}), its training has '
            'failed; use an earlier one.'
        )
    differences = describe_key_mismatch(
        [name for name in missing if name not in weights], unexpected, list(other.values())
    )
    if differences:
        raise ValueError(
            f'checkpoint {checkpoint} does not match the {type(refiner).__name__} of the config, which '
            f'has {len(wanted)} arrays: {differences}. Give the config that the checkpoint was trained with.'
        )


def find_checkpoint(name: str | os.PathLike) -> str:
    """Path of a bundled model's weights, or the argument itself.

    Example:
        >>> from pathlib import Path
        >>> Path(find_checkpoint('segrefiner_tiny')).name
        'segrefiner_tiny.pth'
    """
    bundled = BUNDLED_MODELS.get(str(name))
    return str(_WEIGHTS_DIR / bundled.weights) if bundled else str(name)


def read_weights(checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """State dict of a bundled model or of a file, see :func:`~mmrefine.models.state_dicts.read_state_dict`."""
    return read_state_dict(find_checkpoint(checkpoint))


def pick_device(device: str | torch.device | None) -> torch.device:
    """Device of this name, checked to be available; None: a GPU if there is one, else the CPU."""
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'device {str(device)!r} is not available ({reason}); use "cpu".') from error
    return device
