"""Tools around SAMRefiner, as they are called from a shell."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from mmrefine.models.refiners import SAMRefinerPP
from tests.helpers.synthetic_scenes import make_scene
from tests.helpers.tiny_sam import RANDOM


@pytest.fixture
def run_tool(repo_root):
    def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(repo_root / 'tools' / script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=repo_root)

    return run


def encode(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': rle['size'], 'counts': rle['counts'].decode()}


@pytest.fixture
def scenes(tmp_path):
    """Two scenes as files, with their ground-truth masks as a COCO file."""
    content = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'shape'}]}
    for number in range(2):
        image, _, gt = make_scene(number, (60, 80))
        cv2.imwrite(str(tmp_path / f'{number}.png'), image[..., ::-1])
        content['images'].append({'id': number, 'file_name': f'{number}.png', 'height': 60, 'width': 80})
        for mask in gt:
            identity = {'id': len(content['annotations']) + 1, 'image_id': number, 'category_id': 1}
            content['annotations'].append({**identity, 'area': int(mask.sum()), 'segmentation': encode(mask)})
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def small_config(repo_root, scenes):
    """SAMRefiner++ on a small random SAM and the scenes."""
    base = repo_root / 'configs' / 'sam_refiner' / 'sam-refiner-pp_vit-b_coco.py'
    path = scenes / 'config.py'
    path.write_text(
        f"_base_ = '{base}'\n"
        f"model = dict(backend=dict(_delete_=True, type='SAMBackend', arch={RANDOM!r}), cache=None)\n"
        f"data = dict(ann_file='{scenes}/truth.json', data_prefix=dict(img='{scenes}'))\n"
        'train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)\n'
        'steps = _base_.test_dataloader.dataset.pipeline\n'
        f"steps[2].path = '{scenes}/truth.json'\n"
        'test_dataloader = dict(num_workers=0, dataset=dict(data, pipeline=steps))\n'
    )
    return path


def test_top1_accuracy(run_tool, small_config, tmp_path):
    torch.save(SAMRefinerPP({'type': 'SAMBackend', 'arch': RANDOM}).state_dict(), tmp_path / 'adaption.pth')
    done = run_tool('analysis_tools/top1_accuracy.py', small_config, tmp_path / 'adaption.pth', '--device', 'cpu')
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().splitlines()[-2:]
    assert 'on 2 images' in first and first.endswith('%') and str(tmp_path / 'adaption.pth') in second


def test_train_then_refine_by_the_same_config(run_tool, small_config, scenes):
    trained = run_tool('train.py', small_config, '--work-dir', scenes / 'work')
    assert trained.returncode == 0, trained.stderr
    done = run_tool(
        'refine.py', scenes / 'truth.json', scenes / 'truth.json', '--out', scenes / 'out', '--device', 'cpu',
        '--config', small_config, '--checkpoint', scenes / 'work' / 'epoch_1.pth',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads((scenes / 'out' / 'truth.json').read_text())['annotations']) > 2


def test_activation_maps_become_label_maps(run_tool, tmp_path):
    scores = np.zeros((2, 4, 6), np.float32)
    scores[0, :, :2], scores[1, :, 4:] = 0.9, 0.8
    (tmp_path / 'maps' / 'sub').mkdir(parents=True)
    np.savez(tmp_path / 'maps' / 'sub' / 'a.npz', keys=[2, 14], high_res=scores)
    (tmp_path / 'maps' / 'broken.npy').write_text('no array')
    done = run_tool('dataset_converters/activation_maps_to_labels.py', tmp_path / 'maps', tmp_path / 'out')
    assert done.returncode == 1 and 'broken.npy' in done.stderr
    labels = np.asarray(Image.open(tmp_path / 'out' / 'sub' / 'a.png'))
    np.testing.assert_array_equal(labels[0], [3, 3, 0, 0, 15, 15])
    assert [path.name for path in (tmp_path / 'out').rglob('*') if path.is_file()] == ['a.png']


def test_results_become_annotations(run_tool, scenes):
    gt = json.loads((scenes / 'truth.json').read_text())
    shape = encode(np.eye(60, 80) > 0)
    results = [
        {'image_id': 1, 'category_id': 1, 'score': 0.9, 'segmentation': shape},
        {'image_id': 0, 'category_id': 1, 'score': 0.1, 'segmentation': shape},
        {'image_id': 0, 'category_id': 1, 'score': 0.9, 'segmentation': encode(np.zeros((60, 80)))},
    ]
    (scenes / 'results.json').write_text(json.dumps(results))
    paths = scenes / 'results.json', scenes / 'truth.json', scenes / 'coarse.json'
    done = run_tool('dataset_converters/results_to_coco.py', *paths)
    assert done.returncode == 0, done.stderr
    written = json.loads((scenes / 'coarse.json').read_text())
    assert written['images'] == gt['images']
    assert [(one['id'], one['image_id'], one['area']) for one in written['annotations']] == [(1, 1, 60)]
    (scenes / 'results.json').write_text(json.dumps([{**results[0], 'image_id': 77}]))
    done = run_tool('dataset_converters/results_to_coco.py', *paths)
    assert done.returncode != 0 and '77' in done.stderr


def test_results_are_paired_with_the_annotations_that_they_meet(run_tool, scenes):
    gt = json.loads((scenes / 'truth.json').read_text())
    last = gt['annotations'][-1]
    shape = {'image_id': last['image_id'], 'category_id': 1, 'segmentation': last['segmentation'], 'score': 0.9}
    elsewhere = {**shape, 'segmentation': encode(np.eye(60, 80) > 0)}
    (scenes / 'results.json').write_text(json.dumps([elsewhere, {**shape, 'category_id': 2}, shape]))
    paths = scenes / 'results.json', scenes / 'truth.json', scenes / 'pairs'
    done = run_tool('dataset_converters/results_to_coco.py', *paths, '--match')
    assert done.returncode == 1 and 'categories that do not exist, such as 2' in done.stderr
    coarse, true = (json.loads((scenes / 'pairs' / f'{side}.json').read_text()) for side in ('coarse', 'truth'))
    assert [one['segmentation'] for one in coarse['annotations']] == [last['segmentation']]
    assert [one['area'] for one in true['annotations']] == [last['area']] and true['annotations'][0]['id'] == 1
