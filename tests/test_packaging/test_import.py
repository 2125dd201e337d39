"""`import mmrefine` is light, and what it promises is there when asked for."""

from __future__ import annotations

import sys

import pytest

import mmrefine
from mmrefine.utils import find_config, mim_root, require

OPTIONAL = ('mmdet', 'mmseg', 'sam2', 'segment_anything')
HEAVY = ('torch', 'mmengine', 'mmcv', 'cv2', 'scipy', 'matplotlib')


@pytest.fixture
def modules_after(run_python):
    """Names of the top-level modules that a fresh interpreter holds after some code."""

    def names(code: str) -> set[str]:
        result = run_python(f'{code}\nimport sys; print(*{{name.partition(".")[0] for name in sys.modules}})')
        assert result.returncode == 0, result.stderr
        return set(result.stdout.splitlines()[-1].split())

    return names


def test_import_is_light(modules_after):
    loaded = modules_after('import mmrefine; mmrefine.__version__')
    assert not loaded & {*OPTIONAL, *HEAVY}


def test_registries_and_compat_import_no_optional_package(modules_after):
    loaded = modules_after('import mmrefine.registry, mmrefine.compat, mmrefine.core; mmrefine.compat.setup()')
    assert not loaded & set(OPTIONAL)


def test_api_is_reached_lazily():
    assert {'refine', 'RefineInferencer', '__version__'} <= set(dir(mmrefine))
    with pytest.raises(AttributeError, match="module 'mmrefine' has no attribute 'refined'"):
        _ = mmrefine.refined


def test_the_public_api_imports_no_optional_package(modules_after):
    loaded = modules_after('import mmrefine; mmrefine.refine, mmrefine.RefineInferencer')
    assert not loaded & set(OPTIONAL)


def test_missing_package_names_its_install_command():
    with pytest.raises(
        ImportError, match=r'SAM2Refiner needs the package .no_such_package.*pip install "mmrefine\[x\]"'
    ):
        require('no_such_package.part', 'pip install "mmrefine[x]"', 'SAM2Refiner')
    assert require('json.decoder', 'never') is sys.modules['json.decoder']


def test_a_fault_inside_an_installed_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / 'half_installed.py').write_text('import no_such_dependency')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match='no_such_dependency'):
        require('half_installed', 'pip install half_installed')
    with pytest.raises(ModuleNotFoundError, match='no_such_part'):
        require('json.no_such_part', 'pip install json')


def test_configs_are_found_by_path_and_by_name(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text('a = 1')
    assert find_config(config) == config
    shipped = next((mim_root() / 'configs').rglob('*.py'))
    name = shipped.relative_to(mim_root() / 'configs')
    assert find_config(name).samefile(shipped)
    assert find_config(name.with_suffix('')).samefile(shipped)
    with pytest.raises(FileNotFoundError, match="no config 'no/such_config'"):
        find_config('no/such_config')
