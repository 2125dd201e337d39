"""Small datasets for jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.clips import Clips
from tests.helpers.scenes import Scenes


@pytest.fixture
def make_scenes(tmp_path: Path) -> Callable[[int], Scenes]:
    return lambda count: Scenes(tmp_path / 'data', count)


@pytest.fixture
def scenes(make_scenes: Callable[[int], Scenes]) -> Scenes:
    return make_scenes(5)


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    return Clips(tmp_path, ['a', 'b'])
