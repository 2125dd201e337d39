"""The examples in docstrings run, and every public function has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmrefine
import mmrefine.compat.auto  # noqa: F401  (some packages import MMDetection)

NEEDS_SAM2 = {'mmrefine.models.sam2_refiner', 'mmrefine.models.sam2_refiner.build_predictor'}


def modules_with_examples() -> list[str]:
    """Names of modules whose text holds a doctest; nothing is imported to find them."""
    found = []
    for module in pkgutil.walk_packages(mmrefine.__path__, 'mmrefine.', onerror=lambda name: None):
        spec = module.module_finder.find_spec(module.name)
        if spec.origin and spec.origin.endswith('.py'):
            with open(spec.origin, encoding='utf-8') as file:
                if '>>> ' in file.read():
                    found.append(module.name)
    return found


def packages() -> list[str]:
    walked = pkgutil.walk_packages(mmrefine.__path__, 'mmrefine.', onerror=lambda name: None)
    return ['mmrefine', *(module.name for module in walked if module.ispkg)]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders that examples name, in the working directory: a bright square in an image and in a clip."""
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    for name in ('photos', 'masks', 'gt', 'frames/dog', 'clip_masks/dog'):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / name / ('00000.png' if 'dog' in name else 'dog.png'))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures('folders')
@pytest.mark.parametrize('name', modules_with_examples())
def test_examples_run(name, capsys):
    if name in NEEDS_SAM2:
        pytest.importorskip('sam2')
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testmod(module, optionflags=flags)
    assert tried and not failed, capsys.readouterr().out


@pytest.mark.parametrize('name', packages())
def test_public_functions_have_an_example(name):
    if name in NEEDS_SAM2:
        pytest.importorskip('sam2')
    package = importlib.import_module(name)
    public = [getattr(package, exported) for exported in getattr(package, '__all__', ())]
    without = [item.__name__ for item in public if inspect.isfunction(item) and '>>> ' not in (item.__doc__ or '')]
    assert not without


def test_the_inferencer_has_an_example():
    assert '>>> ' in mmrefine.RefineInferencer.__doc__
