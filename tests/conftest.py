"""What every test may use: quiet threads, seeded randomness."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmrefine import compat

REPO_ROOT = Path(__file__).resolve().parents[1]

# The suite runs on small machines beside other work, and its tensors are too small to gain from more threads, which
# wait for each other whenever a core is busy. Processes that tests start inherit it.
os.environ.setdefault('OMP_NUM_THREADS', '1')
torch.set_num_threads(1)


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """Root of the repository."""
    return REPO_ROOT


@pytest.fixture(scope='session')
def run_python() -> Callable[[str], subprocess.CompletedProcess]:
    """Runs code in a fresh interpreter, to see what an import does: ``run_python(code).stdout``."""

    def run(code: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, '-c', code], cwd=REPO_ROOT, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope='session')
def free_port() -> Callable[[], str]:
    """Finds a port for a process group on this machine."""

    def find() -> str:
        with socket.socket() as server:
            server.bind(('127.0.0.1', 0))
            return str(server.getsockname()[1])

    return find


@pytest.fixture(autouse=True, scope='session')
def unformatted_config_dumps() -> Iterator[None]:
    """A Runner has its config formatted by yapf several times, which takes longer than the tiny runs of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **kwargs: (text, True))
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A numpy generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def own_globals() -> Iterator[None]:
    """The default scope and the logger of a Runner outlive it; other tests shall not meet them.

    The logger would write to the stream that the test captured, which is closed.
    """
    before = {manager: dict(manager._instance_dict) for manager in (DefaultScope, MMLogger)}
    yield
    for manager, instances in before.items():
        manager._instance_dict.clear()
        manager._instance_dict.update(instances)


@pytest.fixture(scope='session')
def det() -> ModuleType:
    """``mmdet.structures``."""
    compat.setup()
    return pytest.importorskip('mmdet.structures')


@pytest.fixture(scope='session')
def seg() -> ModuleType:
    """``mmseg.structures``."""
    compat.setup()
    return pytest.importorskip('mmseg.structures')
