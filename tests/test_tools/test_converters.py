"""Converters of datasets and checkpoints, as they are called from a shell."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from tests.helpers.reference import tiny_weights


@pytest.fixture
def run_tool(repo_root):
    def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(repo_root / 'tools' / script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=repo_root)

    return run


@pytest.fixture
def photographs(tmp_path):
    """One image with the label maps of two annotators: a large and a small region each, on label 0."""
    for folder in ('images', 'labels'):
        (tmp_path / folder / 'scene').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'images/scene/a.png'), np.full((60, 90, 3), 120, np.uint8))
    for annotator in range(2):
        label_map = np.zeros((60, 90), np.uint8)
        label_map[10:40, 10 : 50 + annotator] = 3
        label_map[50:55, 70:75] = 4
        cv2.imwrite(str(tmp_path / f'labels/scene/a_{annotator}.png'), label_map)
    return tmp_path


def test_label_maps_become_regions(run_tool, photographs):
    out = photographs / 'out/regions.json'
    result = run_tool(
        'dataset_converters/label_maps_to_coco.py', photographs / 'images', photographs / 'labels', out, '--several'
    )
    assert result.returncode == 0, result.stderr
    content = json.loads(out.read_text())
    # 25 px regions are under --min-area.
    assert [annotation['area'] for annotation in content['annotations']] == [30 * 40, 30 * 41]
    assert content['images'][0]['file_name'] == 'scene/a.jpg' and (out.parent / 'regions/scene/a.jpg').is_file()
    mask = coco_mask.decode(content['annotations'][1]['segmentation'])
    assert mask[10:40, 10:51].all() and mask.sum() == 30 * 41


def test_large_images_and_their_maps_shrink_together(run_tool, photographs):
    out = photographs / 'out/small.json'
    arguments = [photographs / 'images', photographs / 'labels', out, '--several', '--max-side', 45]
    assert run_tool('dataset_converters/label_maps_to_coco.py', *arguments).returncode == 0
    content = json.loads(out.read_text())
    assert (content['images'][0]['height'], content['images'][0]['width']) == (30, 45)
    assert content['annotations'][0]['area'] == 15 * 20


def test_a_image_without_label_map_is_named(run_tool, photographs):
    result = run_tool(
        'dataset_converters/label_maps_to_coco.py',
        photographs / 'images',
        photographs / 'labels',
        photographs / 'x.json',
    )
    assert result.returncode != 0 and 'a.png has no label map' in result.stderr
    assert not (photographs / 'x.json').exists()


def test_check_says_what_is_missing_and_writes_nothing(run_tool, photographs):
    paths = [photographs / name for name in ('images', 'labels', 'x.json')]
    result = run_tool('dataset_converters/label_maps_to_coco.py', *paths, '--several', '--check')
    assert result.returncode == 0 and '1 image in' in result.stdout and '0 of them' in result.stdout
    result = run_tool('dataset_converters/label_maps_to_coco.py', *paths, '--check')
    assert result.returncode == 1 and 'a.png' in result.stdout and not paths[2].exists()


def test_images_and_masks_in_one_folder_are_refused(run_tool, photographs):
    folder = photographs / 'images'
    result = run_tool('dataset_converters/label_maps_to_coco.py', folder, folder, photographs / 'x.json', '--binary')
    assert result.returncode != 0 and 'the same folder' in result.stderr and not (photographs / 'x.json').exists()


def test_published_checkpoints_hold_weights_in_half_precision_alone(run_tool, tmp_path):
    weights = {f'denoise_model.{name}': value for name, value in tiny_weights().items()}
    torch.save({'state_dict': weights, 'optimizer': {'lr': 1.0}, 'meta': {'iter': 3}}, tmp_path / 'iter_3.pth')
    result = run_tool('model_converters/publish_model.py', tmp_path / 'iter_3.pth', tmp_path / 'mine.pth')
    assert result.returncode == 0, result.stderr
    published = torch.load(tmp_path / 'mine.pth', weights_only=True)
    assert set(published) == {'state_dict'} and published['state_dict'].keys() == weights.keys()
    for name, value in published['state_dict'].items():
        # float16 has 11 significant bits.
        torch.testing.assert_close(value.float(), weights[name], rtol=2**-11, atol=1e-7)
        assert value.dtype == torch.float16
