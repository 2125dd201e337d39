"""The ablation configs of SAM2Refiner, built around a small SAM 2."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmrefine.registry import MODELS

pytest.importorskip('sam2')
SMALL = dict(image_size=64, embed_dim=16, stages=(1, 1, 2, 1), hidden_dim=32)


@pytest.mark.parametrize('modules', ['la', 'la-pr', 'la-mr', 'pr-mr', 'mr'])
def test_config_has_the_modules_that_its_name_says(repo_root, modules):
    config = Config.fromfile(repo_root / f'configs/sam2_refiner/ablation/sam2-refiner_{modules}.py')
    config.model.base = dict(config='sam2.1_hiera_t', small=SMALL)
    core = MODELS.build(config.model).core
    assert [name for name in ('la', 'pr', 'mr') if getattr(core, name) is not None] == modules.split('-')
    assert core.residual is False  # the paper's start
