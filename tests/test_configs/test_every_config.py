"""Every config is read, and its model can be built; OpenMMLab's own, of which ours state a delta, are only read."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmrefine.registry import MODELS
from tests.conftest import REPO_ROOT

FOLDER = REPO_ROOT / 'configs'
CONFIGS = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in FOLDER.rglob('*.py')
    if '_base_' not in path.relative_to(FOLDER).parts
)
# What the smallest sizes of each kind of network are; the layers are the same.
SMALL_SAM = {
    'patch_size': 16,
    'image_size': 64,
    'embed_dim': 16,
    'depth': 1,
    'num_heads': 1,
    'global_attn_indexes': (0,),
}
SMALL_SAM2 = {'image_size': 64, 'embed_dim': 16, 'stages': (1, 1, 2, 1), 'hidden_dim': 32}


def shrink(model: dict) -> None:
    """Take a config's weights away, and its width where only that makes it slow."""
    for value in model.values():
        if isinstance(value, dict):
            shrink(value)
    if 'checkpoint' in model:
        model['checkpoint'] = None
    if model.get('type') in ('SAMBackend', 'SAMHQBackend'):
        model['arch'] = SMALL_SAM
    if model.get('type') == 'SAM2Backend':
        release, _, size = model['config'].rpartition('_')
        assert release in ('sam2_hiera', 'sam2.1_hiera') and size in ('t', 's', 'b+', 'l')
        model.update(config=f'{release}_t', overrides=['++model.image_size=128'])
    if str(model.get('config', '')).startswith('sam2.1_hiera') and 'small' not in model and 'type' not in model:
        model['small'] = SMALL_SAM2
    if model.get('type') == 'DenoiseUNet' and model.get('model_channels') == 128:
        model['model_channels'] = 32
    model.pop('cache', None)


@pytest.mark.parametrize('name', CONFIGS)
def test_config_is_read_and_builds(name):
    config = Config.fromfile(FOLDER / name)
    if config.get('default_scope', 'mmrefine') != 'mmrefine':
        return
    assert 'model' in config
    init_default_scope('mmrefine')
    model = config.model.to_dict()
    shrink(model)
    try:
        MODELS.build(model)
    except ImportError as error:
        pytest.skip(str(error))


def leaves(dataset: dict) -> list[dict]:
    """The datasets inside of wrappers."""
    inner = dataset.get('datasets', [dataset['dataset']] if 'dataset' in dataset else [])
    return [leaf for item in inner for leaf in leaves(item)] if inner else [dataset]


@pytest.mark.parametrize('name', CONFIGS)
def test_no_sample_of_a_test_is_replaced_by_another(name):
    """Without test_mode mmengine's datasets answer with a random other sample where a pipeline gives none."""
    config = Config.fromfile(FOLDER / name)
    loaders = [config[key] for key in ('val_dataloader', 'test_dataloader') if config.get(key)]
    own = [leaf for loader in loaders for leaf in leaves(loader.dataset) if leaf['type'].endswith('MaskDataset')]
    own += [leaf for loader in loaders for leaf in leaves(loader.dataset) if leaf['type'] == 'MaskFolderDataset']
    assert all(leaf.get('test_mode') for leaf in own)


@pytest.mark.parametrize('name', CONFIGS)
def test_first_line_says_what_it_is_for(name):
    lines = (FOLDER / name).read_text().splitlines()
    is_segmenter = lines[0].startswith('_base_') and name.startswith('sam_refiner/sam-refiner_')
    assert lines[0].startswith('# ') or is_segmenter, name


def test_bases_are_used():
    texts = [path.read_text() for path in FOLDER.rglob('*.py')]
    for base in (FOLDER / '_base_').rglob('*.py'):
        assert any(f'/{base.name}' in text for text in texts), base


def test_files_of_configs_are_found():
    assert len(CONFIGS) > 60 and all(Path(FOLDER / name).is_file() for name in CONFIGS)
