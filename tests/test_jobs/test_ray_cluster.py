"""A job on a Ray cluster ends with the same bytes as in one process, also if an actor was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.fragile_job import COUNT, FragileJob
from tests.helpers.scenes import Scenes

CONFIG = """
custom_imports = dict(imports=['tests.helpers.fragile_refiner'])
model = dict(type='FragileRefiner', marker='{marker}', lives=1)
"""


def test_actors_give_what_one_process_gives_also_if_one_is_killed(
    make_scenes: Callable[[int], Scenes], repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('ray.data')
    scenes = make_scenes(COUNT)
    monkeypatch.chdir(scenes.folder)
    job = FragileJob(scenes, repo_root, CONFIG)
    ray = {'RAY_OVERRIDE_RESOURCES': '{"CPU": 4}', 'RAY_USAGE_STATS_ENABLED': '0', 'RAY_worker_niceness': '0'}
    job.run('--launcher ray', **ray)
    assert job.marker.exists()  # an actor was killed
    assert job.written() == job.expected
