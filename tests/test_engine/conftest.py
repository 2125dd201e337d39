"""Data for tiny models, and a process that is left as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

from mmrefine import compat
from tests.helpers.tiny_openmmlab import write_data

compat.setup()


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp('scenes') / 'data')


@pytest.fixture(autouse=True)
def own_scope() -> Iterator[None]:
    """A Runner's default scope outlives it; other tests shall not meet it."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)
