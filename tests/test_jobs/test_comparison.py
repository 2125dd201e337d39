"""Labelled masks from files and configs, refiners side by side, and the choice among them."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import Config

from mmrefine.cli.main import main
from mmrefine.core.gate import QualityGate
from mmrefine.core.rle import encode_rle
from mmrefine.jobs.comparison import (
    best_of,
    format_comparison,
    gain_difference,
    measure_refiner,
    oracle,
    route,
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


def record(image: int, gain: float, **evidence: float) -> dict:
    scores = {f'{side}_{name}': value for name in ('iou', 'boundary_iou') for side, value in zip(
        ('coarse', 'refined'), (0.5, 0.5 + gain), strict=True)}  # fmt: skip
    return {'img_path': f'{image}.png', 'accepted': True, 'ms': 1.0, **scores, **evidence}


def test_masks_are_routed_by_what_the_evidence_of_each_refiner_is_worth() -> None:
    """Each is good on half of the masks and knows it, in units of its own; both harm some."""
    gains = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 60))
    records = {
        'bold': [record(index, gain, expected_gain=3 * gain + 0.5) for index, gain in enumerate(gains[0])],
        'shy': [record(index, gain, score=0.5 + 0.1 * gain) for index, gain in enumerate(gains[1])],
    }
    routed = route(records)
    best = np.maximum(gains.max(axis=0), 0)
    np.testing.assert_allclose([item['refined_iou'] - 0.5 for item in routed], best, atol=1e-9)
    assert [item['accepted'] for item in routed] == (best > 0).tolist()
    assert {item['ms'] for item in routed} == {2.0}
    assert summarize_records(routed)['gain/iou'] == pytest.approx(oracle(records)['gain/iou'])


def test_evidence_that_tells_nothing_routes_to_the_better_refiner() -> None:
    """What is fitted on a mask's own image would know its gain."""
    rng = np.random.default_rng(0)
    records = {
        name: [record(index, gain, score=0.9) for index, gain in enumerate(rng.normal(mean, 0.05, 50))]
        for name, mean in (('good', 0.1), ('bad', 0.0))
    }
    assert route(records) == [{**item, 'ms': 2.0} for item in records['good']]
    one_image = {name: [{**item, 'img_path': 'a.png'} for item in own] for name, own in records.items()}
    assert summarize_records(route(one_image))['gain/iou'] == 0  # there is no other image to learn from


def write_candidates(scenes: Scenes, **noises: float) -> list:
    paths = []
    for name, noise in noises.items():
        path = scenes.folder / f'{name}/candidate.py'
        path.parent.mkdir()
        Config({'model': {'type': 'mmrefine.BrightRefiner', 'noise': noise}}).dump(path)
        paths.append(path)
    return paths


def test_pick_of_one_image_gives_no_interval(scenes: Scenes) -> None:
    truth = scenes.read_json('truth.json')
    truth['annotations'] = [item for item in truth['annotations'] if item['image_id'] == 12]
    scenes.write_json('few.json', truth)
    paths = [scenes.folder / name for name in ('photos', 'coco.json', 'few.json')]
    picked = pick(*paths, candidates=write_candidates(scenes, good=0.0, noisy=0.3), device='cpu')
    assert picked.about == '2 masks with ground truth, and 38 with simulated errors like theirs'
    assert '[one image]' in picked.table() and '[+' not in picked.table()
    # Candidates of one name are told apart.
    assert list(picked.records) == ['candidate, no gate', f'{scenes.folder}/noisy/candidate.py, no gate']
    assert picked.name == 'candidate, no gate'


def test_pick_routes_and_bounds(scenes: Scenes) -> None:
    paths = [scenes.folder / name for name in ('photos', 'coco.json', 'truth.json')]
    picked = pick(*paths, candidates=write_candidates(scenes, good=0.0, noisy=0.3), device='cpu')
    assert picked.table().splitlines()[-1].startswith('| routed by the gate ')
    gain = 100 * summarize_records(picked.records['candidate, no gate'])['gain/iou']
    assert f'routed by the gate gains {gain:+.1f} points of IoU: compared to candidate, no gate' in picked.bounds()
    assert 'makes no significant difference (+0.0 to +0.0)' in picked.bounds()
    alone = pick(*paths, candidates=[scenes.folder / 'good/candidate.py'], device='cpu')
    assert 'routed' not in alone.table() + alone.bounds()


def test_a_candidate_that_raises_costs_no_other(scenes: Scenes, monkeypatch) -> None:
    paths = [scenes.folder / name for name in ('photos', 'coco.json', 'truth.json')]
    good, broken = write_candidates(scenes, good=0.0, broken=0.5)
    refine = BrightRefiner._refine_batch

    def fail(self, inputs):
        if self.noise:
            raise ArithmeticError('out of luck')
        return refine(self, inputs)

    monkeypatch.setattr(BrightRefiner, '_refine_batch', fail)
    assert list(pick(*paths, candidates=[broken, good], device='cpu').records) == [
        f'{scenes.folder}/good/candidate.py, no gate'
    ]
    with pytest.raises(ValueError, match='every candidate failed'):
        pick(*paths, candidates=[broken], device='cpu')


def test_pick_refuses_what_cannot_be_meant(scenes: Scenes, capsys) -> None:
    words = [str(scenes.folder / name) for name in ('photos', 'coco.json')]
    (scenes.folder / 'mine.py').write_text('model = None\n')
    assert main(['pick', *words, '--out', str(scenes.folder / 'mine.py')]) == 2
    assert 'already exists and was not written by mmrefine pick' in capsys.readouterr().err
    assert main(['pick', *words, '--limit', '0', '--out', str(scenes.folder / 'best.py')]) == 2
    assert 'must be at least 1, got 0' in capsys.readouterr().err
    assert not (scenes.folder / 'best.py').exists() and (scenes.folder / 'mine.py').read_text() == 'model = None\n'
