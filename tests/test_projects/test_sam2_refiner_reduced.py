"""The reduced experiment of SAM2Refiner at toy size: its data, both trainings with a kill between, its report."""

from __future__ import annotations

import importlib
import importlib.util
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('sam2')
TOY = '--size 64 --embed-dim 16 --stages 1 1 2 1 --hidden-dim 32 --base-images 8 --refiner-images 8 --val-images 4'
PARTS = ('base_training', 'features', 'pool', 'report', 'scenes', 'scores', 'training', 'variants')


@pytest.fixture(scope='module')
def experiment(repo_root) -> SimpleNamespace:
    """The script and its modules."""
    folder = repo_root / 'projects' / 'sam2_refiner_reduced'
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        spec = importlib.util.spec_from_file_location('sam2_refiner_reduced_run', folder / 'run.py')
        run = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(run)
        parts = {name: importlib.import_module(f'reduced.{name}') for name in PARTS}
    return SimpleNamespace(run=run, **parts)


@pytest.fixture(scope='module')
def pool(experiment):
    return experiment.pool.draw_pool(8, 64, 0, None, {})


def build_base(experiment):
    torch.manual_seed(0)
    small = dict(image_size=64, embed_dim=16, stages=(1, 1, 2, 1), hidden_dim=32)
    return experiment.run.build_base('sam2.1_hiera_t', small=small)


class Killed(Exception):
    """Instead of a signal."""


@pytest.fixture
def kill_at(experiment, monkeypatch):
    """Save at every step, and die after the given one."""

    def arm(step: int) -> None:
        monkeypatch.setattr(experiment.training, '_SAVE_EVERY_S', -1.0)
        advance = experiment.training.Progress.advance

        def advance_and_die(self):
            advance(self)
            if self.step == step:
                monkeypatch.setattr(experiment.training.Progress, 'advance', advance)
                raise Killed

        monkeypatch.setattr(experiment.training.Progress, 'advance', advance_and_die)

    return arm


def test_scenes_follow_from_their_seed_and_have_more_detail_than_the_coarse_ground_truth(experiment):
    draw, coarse_gt = experiment.scenes.draw_scene, experiment.base_training.coarse_gt
    image, mask = draw(128, np.random.default_rng(5))
    again = draw(128, np.random.default_rng(5))
    assert image.dtype == np.uint8 and mask.dtype == bool and image.shape == (*mask.shape, 3)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(mask, again[1])
    masks = np.stack([draw(128, np.random.default_rng(k))[1] for k in range(20)])
    coarse = torch.nn.functional.interpolate(coarse_gt(torch.from_numpy(masks)[:, None]), 128, mode='bilinear') > 0.5
    both, either = (part.sum((1, 2)) for part in (coarse[:, 0].numpy() & masks, coarse[:, 0].numpy() | masks))
    # Bodies survive cells of four pixels, spokes of one to three do not: much to gain, and not from nothing.
    assert 0.6 < (both / either).mean() < 0.85


def test_pool_takes_turns_between_scenes_and_photographs_and_is_drawn_once(experiment, tmp_path, monkeypatch):
    (tmp_path / 'mine').mkdir()
    cv2.imwrite(str(tmp_path / 'mine' / 'a.png'), np.full((90, 120, 3), 200, np.uint8))
    box = dict(id=1, image_id=1, category_id=1, iscrowd=0, area=1600, segmentation=[[30, 30, 70, 30, 70, 70, 30, 70]])
    content = dict(images=[dict(id=1, file_name='a.png', height=90, width=120)], annotations=[box], categories=[])
    (tmp_path / 'mine.json').write_text(json.dumps(content))
    arguments = (tmp_path / 'pool.npz', 4, 64, 0, tmp_path, {'mine': 1.0})
    pool = experiment.pool.load_pool(*arguments)
    assert pool.sources.tolist() == ['synthetic', 'mine'] * 2
    assert (pool.images[1::2] == 200).all() and pool.masks.any(axis=(1, 2)).all()
    monkeypatch.delattr(experiment.pool, 'draw_pool')
    np.testing.assert_array_equal(experiment.pool.load_pool(*arguments).masks, pool.masks)


def test_training_ends_by_steps_or_by_the_clock(experiment, tmp_path):
    progress = experiment.training.Progress(tmp_path / 'a.pth', 400, 1e9, {})
    assert progress.share < 1e-6 and progress.learning_rate(1.0) == pytest.approx(0.01)  # the first of 100 steps
    progress.step = 200
    assert progress.share == 0.5 and progress.learning_rate(1.0) == pytest.approx(0.5)
    progress.step = 399
    assert not progress.done
    progress.advance()
    assert progress.done and progress.learning_rate(1.0) == pytest.approx(0)
    resumed = experiment.training.Progress(tmp_path / 'a.pth', 10**9, progress.seconds, {})
    assert resumed.step == 400 and resumed.done  # the seconds of earlier starts count
    longer = experiment.training.Progress(tmp_path / 'a.pth', 10**9, 1e9, {})
    assert not longer.done


@torch.no_grad()
def test_untrained_variants_answer_what_the_base_does(experiment, pool, tmp_path):
    base = build_base(experiment)
    cached = experiment.features.load_features(base, pool, tmp_path / 'features.npz')
    scores = experiment.scores.score(base, experiment.variants.build_variants(base, seed=0), cached)
    assert list(scores) == ['base', 'LA', 'LA+PR', 'LA+MR', 'PR+MR', 'LA+PR+MR', 'MR']
    assert all(len(values) == len(pool) for values in scores['MR']['5'].values())
    for name in ('LA', 'LA+MR', 'PR+MR', 'LA+PR+MR', 'MR'):
        assert scores[name] == scores['base']
    # Without Mask Refinement the mask is made once more, and logits within rounding of 0 may change sides.
    assert experiment.scores.mean_iou(scores, 'LA+PR') == pytest.approx(experiment.scores.mean_iou(scores), abs=1e-3)


def test_cached_features_are_those_of_the_image(experiment, pool, tmp_path):
    base = build_base(experiment)
    cached = experiment.features.load_features(base, pool, tmp_path / 'features.npz')
    chosen = np.array([6, 1])
    fresh = experiment.features.encode_images(base, experiment.training.normalize(pool.images[chosen]))
    taken = cached.take(chosen)
    assert torch.equal(taken.image, fresh.image)
    for a, b in zip(
        (taken.embedding, taken.local, *taken.fine, *taken.stages),
        (fresh.embedding, fresh.local, *fresh.fine, *fresh.stages),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)  # half precision has 11 bits


def test_killed_trainings_end_as_if_nothing_had_happened(experiment, pool, kill_at, tmp_path):
    """Base and variants, each 3 steps at once and in two goes, from weights that differ before they are loaded."""
    endings = {}
    for name in ('whole', 'killed'):
        base = build_base(experiment)
        arguments = (pool, tmp_path / f'{name}_base.pth', 3, 1e9)
        if name == 'killed':
            kill_at(2)
            with pytest.raises(Killed):
                experiment.base_training.train_base(base, *arguments, log=lambda line: None)
            torch.nn.init.zeros_(base.no_mem_embed)
        experiment.base_training.train_base(base, *arguments, log=lambda line: None)
        assert not base.training and not any(parameter.requires_grad for parameter in base.parameters())
        cached = experiment.features.load_features(base, pool, tmp_path / f'{name}.npz')
        arguments = (base, cached, tmp_path / f'{name}_variants.pth', 3, 1e9, 0, lambda line: None)
        if name == 'killed':
            kill_at(1)
            with pytest.raises(Killed):
                experiment.variants.train_variants(*arguments)
        cores, progress = experiment.variants.train_variants(*arguments)
        assert progress.step == 3
        endings[name] = {**base.state_dict(), **cores.state_dict()}
    untrained = experiment.variants.build_variants(base, 0).state_dict()
    for key, value in endings['whole'].items():
        # The learning rate knows the clock a little: 1e9 seconds are not for ever.
        torch.testing.assert_close(endings['killed'][key], value, rtol=0, atol=1e-6, msg=key)
    for name in experiment.variants.VARIANTS:
        assert any(not torch.equal(untrained[k], endings['whole'][k]) for k in untrained if k.startswith(f'{name}.'))


def test_report_of_known_scores(experiment):
    def scores(iou: float, band: float) -> dict:
        return {str(p): {'iou': [iou] * 4, 'boundary_iou': [band] * 4} for p in experiment.scores.PROMPTS}

    others = {name: scores(0.6, 0.4) for name in ('base', *experiment.variants.VARIANTS)}
    runs = [others | {'MR': scores(0.7, 0.5), 'LA+PR+MR': scores(0.9, 0.5)}, others | {'MR': scores(0.8, 0.35)}]
    report = experiment.report.write_report(runs, np.array(['synthetic', 'a', 'synthetic', 'b']), ['A note.'])
    assert '- A note.\n' in report
    assert '| base | 60.0 | 60.0 | 60.0 | 60.0 | 60.0 |' in report and '| MR | 75.0 | 75.0 |' in report
    gains, added = (
        ' | '.join([f'+{gain} [+{gain}, +{gain}] | {band}'] * 3)
        for gain, band in (('15.00', '+2.50 [+2.50, +2.50]'), ('15.00', '+5.00 [+5.00, +5.00]'))
    )
    alone, module = report.split('## What each module adds')
    assert f'| MR | {gains} |' in alone and f'| MR | {added} |' in module and 'photographs, mIoU (2)' in report
    assert '| base | 60.0 | 40.0 | 60.0 | 40.0 | 60.0 | 40.0 |' in report
    # Of two seeds the boundary fell in one.
    assert '| MR | 0.0 | 50.0 | 0.0 | 50.0 | 0.0 | 50.0 |' in report.split('## Harm')[1]


def test_quicker_quadrants_are_compared_with_whole_ones(experiment, tmp_path):
    """An input of 128 pixels has quadrants at 64; those of 64 pixels could not be encoded."""
    torch.manual_seed(0)
    base = experiment.run.build_base('sam2.1_hiera_t', small=dict(image_size=128, embed_dim=16, stages=(1, 1, 2, 1)))
    val = experiment.pool.draw_pool(2, 128, 0, None, {})
    cores = experiment.variants.build_variants(base, 0)
    projection = cores['LA+PR+MR'].la.attention.out_proj
    torch.nn.init.normal_(projection.weight, generator=torch.Generator().manual_seed(0))
    whole = experiment.scores.score(base, cores, experiment.features.load_features(base, val, tmp_path / 'val.npz'))
    quicker = experiment.run.score_fast_modes(base, cores, val, tmp_path)
    assert list(quicker) == ['LA+PR+MR, tile_scale 0.5', 'LA+PR+MR, tile_scale 0']
    assert quicker['LA+PR+MR, tile_scale 0'] == whole['PR+MR'] != whole['LA+PR+MR']
    assert quicker['LA+PR+MR, tile_scale 0.5'] not in (whole['PR+MR'], whole['LA+PR+MR'])
    too_small = build_base(experiment)
    cores, val = experiment.variants.build_variants(too_small, 0), experiment.pool.draw_pool(2, 64, 0, None, {})
    assert list(experiment.run.score_fast_modes(too_small, cores, val, tmp_path / 'small')) == list(quicker)[1:]
    report = experiment.report.write_report([whole | quicker], np.array(['synthetic'] * 2), [])
    assert '| LA+PR+MR, tile_scale 0.5 | ' in report.split('## What smaller quadrants change')[1]


def test_script_goes_on_after_a_kill_and_reports(experiment, kill_at, tmp_path):
    lines: list[str] = []
    out = tmp_path / 'out'
    command = ['--out', str(out), '--minutes', '9', '--base-steps', '2', '--refiner-steps', '2', *TOY.split()]
    for _ in ('base', 'variants'):  # the second time, the base has done its first step
        kill_at(1)
        with pytest.raises(Killed):
            experiment.run.main([*command, '--gate', '0'], lines.append)
    assert (out / 'base_2' / 'variants_0.pth').is_file() and not (out / 'report.md').exists()
    experiment.run.main([*command, '--gate', '0'], lines.append)
    report = (out / 'report.md').read_text()
    assert lines[-1] == report and all(f'| {name} |' in report for name in experiment.variants.VARIANTS)
    before = (out / 'base_2' / 'variants_0.pth').read_bytes()
    experiment.run.main([*command, '--gate', '0'], lines.append)
    assert (out / 'report.md').read_text() == report and (out / 'base_2' / 'variants_0.pth').read_bytes() == before
    with pytest.raises(ValueError, match='gate 0.0, now 0.6'):
        experiment.run.main(command, lines.append)


def test_a_weak_base_ends_the_experiment_until_it_is_trained_longer(experiment, tmp_path):
    out = tmp_path / 'out'
    command = ['--out', str(out), '--base-steps', '2', '--refiner-steps', '1', *TOY.split(), '--minutes']
    experiment.run.main([*command, '1e-9'], lambda line: None)
    assert 'Too weak' in (out / 'report.md').read_text()
    assert [path.name for path in out.glob('base_*')] == ['base_1'] and not list(out.rglob('variants*'))
    experiment.run.main([*command, '9'], lambda line: None)
    assert (out / 'base_2' / 'val_features.npz').is_file()  # of another base, not those of before
