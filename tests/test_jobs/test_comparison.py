"""Labelled masks from files and configs, refiners side by side, and the choice among them."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import Config

from mmrefine.core.gate import QualityGate
from mmrefine.core.rle import encode_rle
from mmrefine.jobs.comparison import (
    best_of,
    format_comparison,
    gain_difference,
    measure_refiner,
    oracle,
    summarize_records,
)
from mmrefine.jobs.labelled import degraded, labelled_images, measure_errors
from mmrefine.jobs.pick import as_config, is_config_of_pick, pick
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import Scenes


@pytest.fixture
def scenes(tmp_path) -> Scenes:
    return Scenes(tmp_path, 6)


def read(scenes: Scenes, *names: str, **options):
    return labelled_images([scenes.folder / name for name in names], **options)


def test_files_of_any_format(scenes: Scenes) -> None:
    for names, masks in ((('masks', 'truth'), 1), (('coco.json', 'truth.json'), 2)):
        found = {item.path: item for item in read(scenes, 'photos', *names)}
        assert len(found) == 6
        for index, name in enumerate(scenes.names):
            item = found[str(scenes.folder / f'photos/{name}.png')]
            assert item.coarse.shape == (masks, 40, 60) and item.image.shape == (40, 60, 3)
            for mask, true in zip(item.coarse, item.gt, strict=True):
                position = int(mask[:, 30:].any())
                np.testing.assert_array_equal(mask, scenes.coarse[index, position])
                np.testing.assert_array_equal(true, scenes.true[index, position])
    assert read(scenes, 'photos', 'masks')[0].gt is None


def test_a_sample_is_drawn_and_one_bad_mask_costs_no_other(scenes: Scenes) -> None:
    assert sum(len(item.coarse) for item in read(scenes, 'photos', 'coco.json', 'truth.json', limit=5)) == 6
    assert [item.path for item in read(scenes, 'photos', 'masks', limit=3, seed=1)] != [
        item.path for item in read(scenes, 'photos', 'masks', limit=3)
    ]
    content = scenes.read_json('coco.json')
    content['annotations'][0]['segmentation'] = {'size': [40, 60], 'counts': 'broken'}
    content['annotations'][1]['segmentation'] = encode_rle(np.zeros((40, 60), bool))
    scenes.write_json('coco.json', content)
    assert sum(len(item.coarse) for item in read(scenes, 'photos', 'coco.json', 'truth.json')) == 10


def test_data_set_of_a_config(scenes: Scenes) -> None:
    prefix = {
        role: str(scenes.folder / name) for role, name in (('img', 'photos'), ('mask', 'truth'), ('coarse', 'masks'))
    }
    dataset = {
        'type': 'MaskFolderDataset',
        'data_prefix': prefix,
        'kind': 'real',
        'pipeline': [{'type': name} for name in ('LoadRGBImage', 'LoadTrueMasks', 'PackRefineInputs')],
    }
    Config({'test_dataloader': {'dataset': dataset}}).dump(scenes.folder / 'data.py')
    found = read(scenes, 'data.py')
    assert len(found) == 6 and {item.kind for item in found} == {'real'}
    by_file = {item.path: item for item in read(scenes, 'photos', 'masks', 'truth')}
    for item in found:
        np.testing.assert_array_equal(item.image, by_file[item.path].image)
        np.testing.assert_array_equal(item.coarse, by_file[item.path].coarse)
        np.testing.assert_array_equal(item.gt, by_file[item.path].gt)
    (scenes.folder / 'none.py').write_text('model = dict()\n')
    with pytest.raises(ValueError, match='has no test_dataloader'):
        read(scenes, 'none.py')


def test_refiners_side_by_side(scenes: Scenes) -> None:
    images = read(scenes, 'photos', 'coco.json', 'truth.json')
    strict = QualityGate(min_score=1.1)
    records = {
        f'{name}, {gate}': own
        for name, refiner in (('good', BrightRefiner()), ('noisy', BrightRefiner(noise=0.4)))
        for gate, own in measure_refiner(refiner, images, {'free': None, 'strict': strict}).items()
    }
    good, kept = summarize_records(records['good, free']), summarize_records(records['good, strict'])
    assert good['refined/iou'] == 1 and good['win_rate'] == 1 and good['kept_rate'] == 0 and good['num_masks'] == 12
    assert kept['gain/iou'] == 0 and kept['kept_rate'] == 1 and kept['gain_high/iou'] == 0
    assert summarize_records(records['noisy, free'])['harm_rate'] > 0
    low, high = gain_difference(records['good, free'], records['noisy, free'])
    assert 0 < low < high
    assert best_of(records) == 'good, free'
    assert oracle(records)['refined/iou'] == 1
    table = format_comparison(records).splitlines()
    assert len(table) == 6 and '| noisy, strict |' in table[5] and '+0.0 [+0.0, +0.0]' in table[5]


def test_of_equal_gains_the_one_that_harms_less_is_best() -> None:
    rng = np.random.default_rng(0)
    gains = {'bold': rng.normal(0.02, 0.05, 60), 'careful': rng.uniform(0.0, 0.035, 60), 'idle': np.zeros(60)}
    records = {
        name: [
            {
                'img_path': f'{index}.png',
                'accepted': True,
                'ms': 1.0,
                'coarse_iou': 0.5,
                'refined_iou': 0.5 + gain,
                'coarse_boundary_iou': 0.5,
                'refined_boundary_iou': 0.5,
            }
            for index, gain in enumerate(own)
        ]
        for name, own in gains.items()
    }
    assert best_of(records) == 'careful'
    assert best_of({name: records[name] for name in ('idle', 'bold')}) == 'bold'


def test_degraded_masks_have_the_errors_that_were_measured(scenes: Scenes) -> None:
    images = read(scenes, 'photos', 'coco.json', 'truth.json')
    drawn = list(degraded(images, measure_errors(images)))
    assert {item.kind for item in drawn} == {'simulated'}
    ratio = [item.coarse.sum() / item.gt.sum() for item in drawn]
    given = [item.coarse.sum() / item.gt.sum() for item in images]
    assert np.mean(ratio) == pytest.approx(np.mean(given), abs=0.05)


@pytest.mark.parametrize('gt', ['truth.json', None])
def test_pick(scenes: Scenes, gt: str | None) -> None:
    for name, noise in (('good', 0.0), ('noisy', 0.05)):
        model = {'type': 'mmrefine.BrightRefiner', 'noise': noise, 'gate': {'min_agreement': 0.1}}
        Config({'model': model}).dump(scenes.folder / f'{name}.py')
    candidates = [scenes.folder / 'good.py', scenes.folder / 'noisy.py']
    names = ['photos', 'coco.json', gt]
    paths = [None if name is None else scenes.folder / name for name in names]
    picked = pick(*paths, candidates=candidates, device='cpu')
    assert picked.name.startswith('good, ') and len(picked.records) == 4
    assert ('ground truth: majority of the candidates' in picked.about) == (gt is None)
    if gt is not None:
        assert picked.about == '12 masks with ground truth, and 36 with simulated errors like theirs'
        assert all(len(own) == 48 for own in picked.records.values())
    (scenes.folder / 'best.py').write_text(as_config(picked))
    assert is_config_of_pick(scenes.folder / 'best.py') and not is_config_of_pick(scenes.folder / 'coco.json')
    assert Config.fromfile(scenes.folder / 'best.py').model.noise == 0
