"""A job on a Ray cluster ends with the same bytes as in one process, also if an actor was killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrefine.apis import refine_dataset
from tests.test_apis.conftest import Scenes
from tests.test_apis.test_job import files_of

CONFIG = """
custom_imports = dict(imports=['fragile_refiner'])
model = dict(type='FragileRefiner', marker='{marker}', lives=1)
"""
COUNT = 24


def test_actors_give_what_one_process_gives_also_if_one_is_killed(
    make_scenes: Callable[[int], Scenes], repo_root: Path
) -> None:
    pytest.importorskip('ray.data')
    scenes = make_scenes(COUNT)
    marker, config = scenes.folder / 'marker', scenes.folder / 'fragile.py'
    config.write_text(CONFIG.format(marker=marker))
    (scenes.folder / 'photos/scene_5.png').write_bytes(b'broken')
    masks = [str(scenes.folder / name) for name in ('photos', 'coco.json')]
    marker.touch()
    refine_dataset(*masks, scenes.folder / 'unbroken', model=config, device='cpu', progress=False)
    marker.unlink()

    options = ['--config', str(config), '--device', 'cpu', '--launcher', 'ray', '--actors', '3']
    command = [sys.executable, 'tools/refine.py', *masks, '--out', str(scenes.folder / 'out'), *options]
    paths = os.pathsep.join([str(repo_root), str(repo_root / 'tests')])
    ray = {'RAY_OVERRIDE_RESOURCES': '{"CPU": 4}', 'RAY_USAGE_STATS_ENABLED': '0'}
    env = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', **ray}
    done = subprocess.run(command, cwd=repo_root, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr  # an image was skipped
    assert marker.exists()  # an actor was killed
    assert 'skipped scene_5.png' in done.stderr
    for name in ('out', 'unbroken'):
        shutil.rmtree(scenes.folder / name / '.parts')
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'unbroken')
