"""Our components are found under their names, whoever's Runner is at work."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from PIL import Image

import mmrefine
from mmrefine import compat
from mmrefine.apis import build_refiner
from mmrefine.registry import DATASETS, HOOKS, MODELS, TRANSFORMS
from tests.helpers.reference import TINY_UNET

REFINER = {'type': 'SegRefiner', 'denoiser': TINY_UNET, 'input_size': 64}


@pytest.fixture(params=['mmengine', 'mmdet', 'mmrefine'])
def foreign_scope(request):
    """Another package's default scope, as inside its Runner."""
    compat.setup()
    with DefaultScope.overwrite_default_scope(request.param):
        yield


def test_refiners_and_their_parts(foreign_scope):
    assert build_refiner(REFINER, device='cpu').input_size == 64
    assert MODELS.build(TINY_UNET).in_channels == 4


def test_scoped_names_from_the_root(foreign_scope):
    assert MMENGINE_MODELS.build({**REFINER, 'type': 'mmrefine.SegRefiner'}).input_size == 64


def test_the_default_scope_stays_the_user_s(foreign_scope, tmp_path):
    """Whatever is built, and whatever it does."""
    before = [scope.scope_name for scope in DefaultScope._instance_dict.values()]
    refiner = build_refiner(REFINER, device='cpu')
    mask = np.zeros((40, 50), bool)
    mask[10:30, 10:30] = True
    mmrefine.refine(np.zeros((40, 50, 3), np.uint8), mask, refiner)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / 'x.png')
    step = TRANSFORMS.build({'type': 'RefineMasks', 'model': REFINER})
    step({'img_path': str(tmp_path / 'x.png'), 'coarse_masks': mask[None]})
    HOOKS.build({'type': 'RefineHook', 'refiner': REFINER})
    build_refiner('segrefiner_tiny', device='cpu')
    assert [scope.scope_name for scope in DefaultScope._instance_dict.values()] == before


def test_pipelines(foreign_scope, tmp_path):
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / 'x.png').touch()
    prefix = {'img': str(tmp_path / 'images'), 'mask': str(tmp_path / 'masks')}
    dataset = DATASETS.build(
        {'type': 'MaskFolderDataset', 'data_prefix': prefix, 'pipeline': [{'type': 'LoadRGBImage'}]}
    )
    assert len(dataset) == 1
    assert TRANSFORMS.build({'type': 'RandomMaskFlip', 'prob': 0.25}).prob == 0.25


def test_mmengines_own_are_found_through_ours():
    assert MODELS.build({'type': 'BaseDataPreprocessor'}) is not None
