"""Data for tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrefine import compat
from tests.helpers.tiny_openmmlab import write_data

compat.setup()


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp('scenes') / 'data')
