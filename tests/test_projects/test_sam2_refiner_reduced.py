"""The reduced experiment of SAM2Refiner: its images, both trainings with a few iterations, its tables."""

from __future__ import annotations

import csv
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.cli.test import main as run_test
from mmrefine.cli.train import main as run_train
from mmrefine.models.state_dicts import read_state_dict
from mmrefine.structures import ObjectPrompt

pytest.importorskip('sam2')
SETS = ('davis_train', 'bsds_train', 'ccp_garments', 'ccp_person', 'leaf', 'nuclei', 'davis_val', 'bsds_test', 'nuts18')


@pytest.fixture(scope='module')
def project(repo_root) -> SimpleNamespace:
    """Its modules and folder."""
    folder = repo_root / 'projects' / 'sam2_refiner_reduced'
    names = ('scenes', 'make_pools', 'coarse_sam2', 'report')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        modules = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(folder=folder, **modules)
        for name in names:
            del sys.modules[name]


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """One image with a square for each set."""
    folder = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    square = dict(
        id=1, image_id=1, category_id=1, iscrowd=0, area=1600, segmentation=[[30, 30, 70, 30, 70, 70, 30, 70]]
    )
    content = dict(images=[dict(id=1, file_name='a.png', height=90, width=120)], annotations=[square], categories=[])
    for name in SETS:
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / 'a.png'), rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))
        (folder / f'{name}.json').write_text(json.dumps(content))
    return folder


@pytest.fixture(scope='module')
def pools(project, data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('pools')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['make_pools.py', str(data), str(out), '--counts', '4', '4', '4'])
        project.make_pools.main()
    return out


def test_scenes_have_more_detail_than_the_coarse_ground_truth(project):
    draw, coarse_gt = project.scenes.draw_scene, project.coarse_sam2.coarse_gt
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


def test_pools_hold_scenes_and_crops_of_their_own(pools):
    files = sorted(path.relative_to(pools).as_posix() for path in pools.rglob('*.png'))
    assert len(files) == 3 * 2 * 2 * 2 and 'val/synthetic/masks/00001.png' in files
    crops = [path.stem.split('_', 1)[1] for path in (pools / 'val/photos/images').iterdir()]
    assert len(crops) == 2 and set(crops) <= {'davis_val', 'bsds_test', 'nuts18'}
    scenes = [
        np.asarray(Image.open(pools / pool / 'synthetic/images/00000.png')) for pool in ('base', 'refiner', 'val')
    ]
    assert scenes[0].shape == (128, 128, 3)
    assert not any(np.array_equal(a, b) for a, b in ((scenes[0], scenes[1]), (scenes[0], scenes[2])))


def test_base_answers_each_prompt_by_itself(project):
    """Prompts with unequally many points, each with its own image, in their order; no image in the first iterations."""
    torch.manual_seed(0)
    small = dict(image_size=64, embed_dim=16, stages=(1, 1, 2, 1), hidden_dim=32)
    model = project.coarse_sam2.CoarseSAM2(dict(config='sam2.1_hiera_t', small=small)).eval()
    images = torch.randn(3, 3, 64, 64)
    prompts = [ObjectPrompt.of(np.full((n, 2), 20 + 5 * n, np.float32), np.ones(n, np.int32)) for n in (2, 1, 2)]
    samples = [SimpleNamespace(prompt=prompt, gt_masks=torch.ones(1, 64, 64)) for prompt in prompts]
    with torch.no_grad():
        together = model(images, samples)
        for k in range(3):
            torch.testing.assert_close(model(images[k : k + 1], samples[k : k + 1])[0], together[k], rtol=0, atol=1e-4)
        assert together.shape == (3, 1, 16, 16)
        project.coarse_sam2.MessageHub.get_current_instance().update_info('iter', 0)
        blind = [model(image, samples, mode='loss')['loss_bce'] for image in (images, -images)]
        project.coarse_sam2.MessageHub.get_current_instance().update_info('iter', model.blind_iters)
        seeing = [model(image, samples, mode='loss')['loss_bce'] for image in (images, -images)]
    assert blind[0] == blind[1] and seeing[0] != seeing[1]


def test_base_and_refiner_are_trained_and_tested_by_config(project, pools, tmp_path, monkeypatch):
    """Both stages with two iterations; before the first, a refiner answers as the base does."""
    monkeypatch.setenv('POOLS', str(pools))
    monkeypatch.setenv('BASE', str(tmp_path / 'sam2.pth'))
    configs = project.folder / 'configs'
    short = ['train_cfg.max_iters=2', 'train_dataloader.batch_size=2', 'default_hooks.checkpoint.interval=2']
    run_train([str(configs / 'base.py'), '--work-dir', str(tmp_path / 'base'), '--cfg-options', *short])
    monkeypatch.setattr(sys, 'argv', ['coarse_sam2.py', str(tmp_path / 'base/iter_2.pth'), str(tmp_path / 'sam2.pth')])
    project.coarse_sam2.main()

    options = ['model.core.pr=None', f'model.cache.folder={tmp_path / "features"}']
    arguments = [str(configs / 'refiner.py'), '--work-dir', str(tmp_path / 'refiner'), '--cfg-options', *options]
    run_train([*arguments, *short])
    trained = read_state_dict(tmp_path / 'refiner/iter_2.pth')
    assert {name.split('.')[1] for name in trained} == {'la', 'mr'}
    for checkpoint, name in (([], 'untrained'), ([str(tmp_path / 'refiner/iter_2.pth')], 'trained')):
        run_test([arguments[0], *checkpoint, '--per-mask', str(tmp_path / f'{name}.csv'), *arguments[1:]])
    untrained, trained = (list(csv.DictReader((tmp_path / f'{name}.csv').open())) for name in ('untrained', 'trained'))
    assert {(row['source'], row['kind']) for row in trained} == {
        (source, kind) for source in ('synthetic', 'photos') for kind in ('box', 'clicks_1', 'clicks_2', 'clicks_5')
    }
    assert len(trained) == 4 * 4
    assert all(row['refined_iou'] == row['coarse_iou'] for row in untrained)
    assert any(row['refined_iou'] != row['coarse_iou'] for row in trained)


def test_tables_of_known_scores(project, tmp_path, capsys, monkeypatch):
    """Two images with two prompts; the whole refiner gains 20 points with one seed and 10 with the other."""

    def write(name: str, *gains: float) -> None:
        for seed, gain in enumerate(gains):
            with (tmp_path / f'{name}_{seed}.csv').open('w') as file:
                print('img_path,source,coarse_iou,refined_iou,coarse_boundary_iou,refined_boundary_iou', file=file)
                for image, source in (('a', 'synthetic'), ('b', 'photos')) * 2:
                    print(f'{image},{source},0.6,{0.6 + gain},0.4,{0.4 - gain / 2}', file=file)

    for name in ('LA', 'LA+PR', 'LA+MR', 'PR+MR', 'tile_scale=0.5', 'tile_scale=0'):
        write(name, 0.0, 0.0)
    write('LA+PR+MR', 0.2, 0.1)
    write('MR', -0.05, 0.05)
    monkeypatch.setattr(sys, 'argv', ['report.py', str(tmp_path)])
    project.report.main()
    gains, added = capsys.readouterr().out.split('\n\n')
    ends = '+15.00 [+15.00, +15.00] | -7.50 [-7.50, -7.50]'
    assert '| base | 60.0 | 40.0 |' in gains
    assert f'| LA+PR+MR | 75.0 | 32.5 | {ends} | {ends} | 0.0 | 0.0 |' in gains
    assert '| 50.0 | 50.0 |' in gains.split('| MR |')[1]  # of two seeds, one harmed
    assert f'| PR | {ends} |' in added and '| tile_scale 0 | -15.00 [-15.00, -15.00] | +7.50' in added


@pytest.mark.slow
def test_whole_experiment(project, data, tmp_path):
    env = {**os.environ, 'PYTHON': sys.executable, 'SEEDS': '1', 'BASE_ITERS': '1', 'REFINER_ITERS': '1'}
    env['POOL_OPTIONS'] = '--counts 2 2 2'
    command = ['bash', str(project.folder / 'run.sh'), str(data), str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '| tile_scale 0.5 |' in done.stdout
    again = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert '==' not in again.stdout and '| MR |' in again.stdout
