"""What the papers' configs say where ours differ by default."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from tests.conftest import REPO_ROOT

CONFIGS = REPO_ROOT / 'configs'


def read(name: str) -> Config:
    return Config.fromfile(CONFIGS / name)


@pytest.mark.parametrize(
    ('name', 'margin'),
    [('vit-h_paper', 0.1), ('vit-b_paper', 0.1), ('vit-h_davis585', 0.0), ('vit-h_coco', 0.1), ('vit-h_voc', 0.1)],
)
def test_tables_of_sam_refiner_have_one_round_and_no_gate(name, margin):
    model = read(f'sam_refiner/sam-refiner_{name}.py').model
    assert (model.iters, model.margin, model.gate) == (1, margin, None)


def test_ablations_of_sam_refiner_are_on_huge_with_one_round():
    for path in sorted((CONFIGS / 'sam_refiner/ablation').glob('sam-refiner_vit-h_*.py')):
        model = Config.fromfile(path).model
        assert model.backend.arch == 'vit_h' and model.gate is None
        assert model.iters == (5 if 'five-rounds' in path.stem else 1)


def test_ablations_of_sam2_refiner_are_on_large():
    for path in sorted((CONFIGS / 'sam2_refiner/ablation').glob('*.py')):
        assert Config.fromfile(path).model.base.config == 'sam2.1_hiera_l'


def test_tables_read_published_coarse_masks():
    names = [
        'segrefiner/segrefiner_hr_big',
        'segrefiner/segrefiner_hr_dis5k',
        'segrefiner/segrefiner_lr_published-masks',
    ]
    names += [f'sam_refiner/sam-refiner{kind}_vit-h_davis585' for kind in ('', '-pp')]
    names += [f'sam_refiner/sam-refiner-pp_vit-h_{data}' for data in ('coco', 'voc')]
    for name in names:
        dataset = read(f'{name}.py').test_dataloader.dataset
        for part in dataset.get('datasets', [dataset]):
            steps = [step.type for step in part.pipeline]
            assert steps == ['LoadRGBImage', 'LoadTrueMasks', 'LoadCoarseMasks', 'PackRefineInputs'], name
