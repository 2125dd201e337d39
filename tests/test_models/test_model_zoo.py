"""Names, configs and checkpoints become refiners; what belongs to another model, or is no model, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from mmrefine.models.model_zoo import BUNDLED_MODELS, build_refiner, load_weights, pick_device
from mmrefine.models.refiners import SegRefiner
from mmrefine.utils import find_config
from tests.helpers.bright_refiner import BrightRefiner

SMALL = {
    'type': 'SegRefiner',
    'denoiser': {
        'type': 'DenoiseUNet',
        'in_channels': 4,
        'model_channels': 32,
        'channel_mult': (1,),
        'num_res_blocks': 1,
        'attention_strides': (),
        'num_steps': 2,
    },
    'schedule': {'num_steps': 2},
    'input_size': 16,
}


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {name: value.shape for name, value in build_refiner(SMALL, device='cpu').state_dict().items()}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def save(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def assert_loaded(refiner: SegRefiner, weights: dict[str, torch.Tensor]) -> None:
    loaded = refiner.state_dict()
    assert loaded.keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(loaded[name], value, rtol=0, atol=0)


def test_from_a_dict_a_config_and_a_file(tmp_path: Path, weights: dict) -> None:
    checkpoint = save(weights, tmp_path / 'w.pth')
    file = tmp_path / 'config.py'
    file.write_text(f'model = {SMALL!r}\nload_from = {str(checkpoint)!r}\n', encoding='utf-8')
    for model in (SMALL, {'model': SMALL}, Config({'model': SMALL})):
        assert_loaded(build_refiner(model, checkpoint, 'cpu'), weights)
    refiner = build_refiner(file)
    assert_loaded(refiner, weights)
    assert not refiner.training


def test_state_dicts_checkpoints_of_mmengine_and_of_parallel_training(tmp_path: Path, weights: dict) -> None:
    history = HistoryBuffer()
    history.update(0.5)
    message_hub = {'log_scalars': {'train/loss': history}, 'runtime_info': {'iter': 7}}
    contents = [
        weights,
        {'meta': {'iter': 7}, 'state_dict': weights, 'message_hub': message_hub},
        {'state_dict': {f'module.{name}': value for name, value in weights.items()}},
    ]
    for content in contents:
        assert_loaded(build_refiner(SMALL, save(content, tmp_path / 'w.pth'), 'cpu'), weights)


def test_half_precision_becomes_float32(tmp_path: Path, weights: dict) -> None:
    half = {name: value.half() for name, value in weights.items()}
    refiner = build_refiner(SMALL, save(half, tmp_path / 'w.pth'), 'cpu')
    assert_loaded(refiner, {name: value.float() for name, value in half.items()})
    assert {value.dtype for value in refiner.parameters()} == {torch.float32}


def test_checkpoint_of_another_model(tmp_path: Path, weights: dict) -> None:
    refiner = build_refiner(SMALL, device='cpu')
    names = list(weights)
    other = {**weights, 'head.weight': torch.zeros(2), names[1]: torch.zeros(3, 5)}
    del other[names[0]]
    with pytest.raises(ValueError) as refusal:
        load_weights(refiner, save(other, tmp_path / 'w.pth'))
    message = str(refusal.value)
    assert 'w.pth does not match the SegRefiner of the config' in message
    assert f'1 missing ({names[0]})' in message and '1 unexpected (head.weight)' in message
    assert f'1 of another shape ({names[1]} (3, 5) instead of {tuple(weights[names[1]].shape)})' in message
    with pytest.raises(ValueError, match=rf'{len(weights)} missing \(.*, …\), 1 unexpected \(threshold\)'):
        load_weights(refiner, save(BrightRefiner().state_dict(), tmp_path / 'b.pth'))


def test_configs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="unknown model 'segrefiner_huge': expected 'segrefiner_tiny'.*config"):
        build_refiner('segrefiner_huge')
    (tmp_path / 'empty.py').write_text('a = 1\n', encoding='utf-8')
    with pytest.raises(ValueError, match='empty.py has no entry "model"'):
        build_refiner(tmp_path / 'empty.py')
    (tmp_path / 'leaves.py').write_text('raise SystemExit(0)\n', encoding='utf-8')
    with pytest.raises(ValueError, match='leaves.py cannot be read .SystemExit: 0'):
        build_refiner(tmp_path / 'leaves.py')
    with pytest.raises(ValueError, match='must describe a refiner .BaseRefiner., got DenoiseUNet'):
        build_refiner(SMALL['denoiser'])


def test_default_device() -> None:
    assert pick_device(None).type == ('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.mark.parametrize('name', BUNDLED_MODELS)
def test_bundled_models_are_complete(name: str) -> None:
    assert find_config(BUNDLED_MODELS[name].config).is_file()
    assert isinstance(build_refiner(name, device='cpu'), SegRefiner)
