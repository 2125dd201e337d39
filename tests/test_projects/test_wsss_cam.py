"""projects/wsss_cam: tiles with their labels, and activation maps of a classifier that learns where things are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mmrefine.core.activation_maps import activation_label_map, resize_scores
from mmrefine.core.rle import encode_rle
from mmrefine.files.activation_maps import load_activation_maps

SIDE = 48


def write_images(folder: Path, count: int = 9) -> None:
    """Images of 2x2 tiles on grey, with a red square in the first tile, a green one in the last, and noise."""
    rng = np.random.default_rng(0)
    (folder / 'photos').mkdir()
    images, annotations = [], []
    for index in range(count):
        image = rng.integers(90, 130, (2 * SIDE, 2 * SIDE, 3), dtype=np.uint8)
        for category, start in ((3, 0), (7, SIDE)):
            mask = np.zeros(image.shape[:2], bool)
            y, x = start + rng.integers(4, 20, 2)
            mask[y : y + 20, x : x + 20] = True
            image[mask] = (220, 40, 40) if category == 3 else (40, 220, 40)
            record = {'id': len(annotations), 'image_id': index, 'category_id': category}
            annotations.append({**record, 'segmentation': encode_rle(mask)})
        Image.fromarray(image).save(folder / f'photos/{index}.png')
        images.append({'id': index, 'file_name': f'{index}.png', 'height': 2 * SIDE, 'width': 2 * SIDE})
    categories = [{'id': 7, 'name': 'green'}, {'id': 3, 'name': 'red'}]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (folder / 'coco.json').write_text(json.dumps(content))


def test_tiles_and_activation_maps(tmp_path: Path, repo_root: Path):
    write_images(tmp_path)

    def run(script: str, *arguments: object) -> None:
        command = [sys.executable, str(repo_root / 'projects/wsss_cam' / script), *map(str, arguments)]
        env = {'PYTHONPATH': str(repo_root), 'OMP_NUM_THREADS': '1', 'PATH': ''}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr

    sizes = ('--size', SIDE, '--stride', SIDE, '--min-px', 100)
    run('make_tiles.py', tmp_path / 'coco.json', tmp_path / 'photos', tmp_path / 'tiles', *sizes)
    present = json.loads((tmp_path / 'tiles/train/classes.json').read_text())
    assert len(present) == 6 * 4 and len(json.loads((tmp_path / 'tiles/val/classes.json').read_text())) == 3 * 4
    assert present['0_0_0'] == [0] and present['0_48_48'] == [1] and present['0_0_48'] == []
    labels = np.asarray(Image.open(tmp_path / 'tiles/train/labels/0_48_48.png'))
    assert labels.shape == (SIDE, SIDE) and np.count_nonzero(labels == 2) == 400

    run('make_cams.py', tmp_path / 'tiles/train', tmp_path / 'cams', '--iters', 40, '--scale', 1)
    overlaps = []
    for name, classes in present.items():
        keys, scores = load_activation_maps(tmp_path / f'cams/{name}.npy')
        assert keys.tolist() == classes
        if classes:
            given, _ = activation_label_map(keys, resize_scores(scores, (SIDE, SIDE)), threshold=0.3)
            true = np.asarray(Image.open(tmp_path / f'tiles/train/labels/{name}.png'))
            overlaps.append(((given == true) & (true > 0)).sum() / ((given > 0) | (true > 0)).sum())
    # Chance is the square's share of the tile, 0.17; the maps need not fill the square.
    assert np.mean(overlaps) > 0.4
