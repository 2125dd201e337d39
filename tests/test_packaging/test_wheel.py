"""The package as a stranger gets it: built into an sdist and a wheel, installed where the repository is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch

WEIGHTS = Path('mmrefine', 'models', 'weights', 'segrefiner_tiny.pth')
SITE_PACKAGES = Path(torch.__file__).parents[1]


def clean_environment() -> dict[str, str]:
    """Without PYTHONPATH, by which another copy of the package would be found."""
    return {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}


def run(*command: object, cwd: Path) -> str:
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, env=clean_environment()
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def sources(repo_root, tmp_path_factory) -> Path:
    """A copy of the repository to build from, so that a build leaves nothing behind in it."""
    copy = tmp_path_factory.mktemp('sources') / 'mmrefine'
    copy.mkdir()
    for name in ('LICENSE', 'MANIFEST.in', 'README.md', 'model-index.yml', 'pyproject.toml', 'setup.py'):
        shutil.copy2(repo_root / name, copy)
    for name in ('mmrefine', 'configs', 'tools'):
        shutil.copytree(repo_root / name, copy / name, ignore=shutil.ignore_patterns('.mim', '__pycache__'))
    return copy


@pytest.fixture(scope='module')
def wheel(sources, tmp_path_factory) -> Path:
    """The wheel, built from the sdist: what the sdist forgets is missing in it."""
    out = tmp_path_factory.mktemp('dist')
    build = 'import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))'
    sdist = out / run(sys.executable, '-c', build, out, cwd=sources).splitlines()[-1]
    pip_wheel = ('-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index', '--wheel-dir', out, sdist)
    run(sys.executable, *pip_wheel, cwd=out)
    [built] = out.glob('*.whl')
    return built


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory) -> Path:
    """Interpreter of an environment that holds the wheel, and sees this one's packages without the repository."""
    root = tmp_path_factory.mktemp('empty') / 'venv'
    venv.create(root, with_pip=False)
    [site] = root.glob('lib/python*/site-packages')
    # A path named in a .pth file is searched, but its own .pth files (an editable mmrefine) are not followed.
    (site / 'other_packages.pth').write_text(f'{SITE_PACKAGES}\n')
    python = root / 'bin' / 'python'
    install = ('install', '--no-deps', '--no-index', wheel)
    run(sys.executable, '-m', 'pip', '--python', python, *install, cwd=root)
    return python


def test_wheel_carries_configs_tools_and_data(wheel, sources):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {'mmrefine/.mim/model-index.yml', 'mmrefine/.mim/tools/train.py'} <= names
    shipped = [path for path in (sources / 'configs').rglob('*') if path.is_file()]
    assert shipped
    for path in shipped:
        assert f'mmrefine/.mim/{path.relative_to(sources).as_posix()}' in names
    for pattern in ('*.pth', '*.json', '*.html', '*.css', '*.js'):
        for path in (sources / 'mmrefine').rglob(pattern):
            assert path.relative_to(sources).as_posix() in names
    assert not any(name.startswith(('tests/', 'configs/', 'tools/', 'mmrefine/.mim/tools/dev/')) for name in names)


def test_installed_package_stands_alone(python, tmp_path):
    code = (
        'import mmrefine; from mmrefine.utils import find_config, mim_root; import mmrefine.compat.auto\n'
        'print(mmrefine.__file__); print(mim_root())'
    )
    package, root = run(python, '-I', '-c', code, cwd=tmp_path).splitlines()[-2:]
    assert Path(package).is_relative_to(python.parents[1])
    assert Path(root) == Path(package).parent / '.mim'


def test_installed_package_refines_an_image(python, tmp_path, repo_root):
    if not (repo_root / WEIGHTS).is_file():
        pytest.skip(f'the bundled model {WEIGHTS} is not there yet')
    code = """
import numpy as np, mmrefine
image = np.zeros((96, 128, 3), np.uint8)
image[24:72, 32:96] = 220
coarse = np.zeros((96, 128), bool)
coarse[28:76, 28:92] = True
result = mmrefine.refine(image, coarse, device='cpu')
gt = image[..., 0] > 100
iou = (result.masks[0] & gt).sum() / (result.masks[0] | gt).sum()
print(result.masks.shape, result.masks.dtype, mmrefine.__file__, iou)
"""
    *shape, dtype, package, iou = run(python, '-I', '-c', code, cwd=tmp_path).splitlines()[-1].rsplit(maxsplit=3)
    assert ' '.join(shape) == '(1, 96, 128)' and dtype == 'bool'
    assert Path(package).is_relative_to(python.parents[1])
    assert float(iou) >= 2640 / 3504  # no worse than the coarse mask


@pytest.fixture(scope='module')
def editable_python(sources, tmp_path_factory) -> Path:
    """Interpreter of an environment with an editable install."""
    root = tmp_path_factory.mktemp('editable') / 'venv'
    venv.create(root, with_pip=False)
    [site] = root.glob('lib/python*/site-packages')
    (site / 'other_packages.pth').write_text(f'{SITE_PACKAGES}\n')
    python = root / 'bin' / 'python'
    install = ('install', '--no-deps', '--no-index', '--no-build-isolation', '--editable', sources)
    run(sys.executable, '-m', 'pip', '--python', python, *install, cwd=root)
    return python


def test_editable_install_finds_the_configs_of_the_repository(editable_python, sources, tmp_path):
    code = 'import mmrefine; from mmrefine.utils import mim_root; print(mmrefine.__file__); print(mim_root())'
    package, mim = map(Path, run(editable_python, '-I', '-c', code, cwd=tmp_path).splitlines()[-2:])
    assert package == sources / 'mmrefine' / '__init__.py'
    assert (mim / 'configs').samefile(sources / 'configs')
    assert (sources / 'mmrefine' / '.mim' / 'configs').is_symlink()  # an edited config is an edited config


# ---- mim and mmengine's external configs ----------------------------------------------------------------------------


@pytest.fixture(params=['wheel', 'editable'])
def any_python(request, repo_root) -> Path:
    """Either install; an editable one as docs/install.md says, with the package linked."""
    if request.param == 'wheel':
        return request.getfixturevalue('python')
    python = request.getfixturevalue('editable_python')
    sources = request.getfixturevalue('sources')
    [line] = [
        line for line in (repo_root / 'docs' / 'install.md').read_text().splitlines() if line.startswith('ln -sfn')
    ]
    path = f'{python.parent}{os.pathsep}{os.environ["PATH"]}'
    subprocess.run(line, shell=True, cwd=sources, check=True, env={**clean_environment(), 'PATH': path})
    return python


def test_mim_finds_models_and_tools(any_python, tmp_path):
    pytest.importorskip('mim', reason='pip install --no-deps openmim')
    found = run(any_python, '-m', 'mim', 'search', 'mmrefine', '--valid-config', cwd=tmp_path)
    assert "'segrefiner_lr_lvis'" in found
    shown = run(any_python, '-m', 'mim', 'search', 'mmrefine', '--config', 'segrefiner_lr_lvis', cwd=tmp_path)
    assert 'training_data' in shown and 'lvis v1' in shown
    # The script is found, and runs: it is what refuses the option.
    for command, *checkpoint in (('train',), ('test', '--checkpoint', 'weights.pth')):
        started = [any_python, '-m', 'mim', command, 'mmrefine', 'segrefiner_tiny_folder.py', *checkpoint, '--no-such']
        answer = subprocess.run(started, cwd=tmp_path, capture_output=True, text=True, env=clean_environment())
        assert f'mmrefine {command}: error: unrecognized arguments: --no-such' in answer.stderr


def test_mim_download_takes_every_model_with_weights(any_python, tmp_path):
    """Weights that are there already are not fetched again, so this needs no network."""
    pytest.importorskip('mim', reason='pip install --no-deps openmim')
    code = """
import sys
from pathlib import Path
from mim.commands.download import download
from mim.commands.search import get_model_info
import mmrefine.compat.auto
models = get_model_info('mmrefine', to_dict=True)
models = {name: model for name, model in models.items() if model['weight'] == model['weight']}  # NaN: not published
for name, model in models.items():
    for url in model['weight'].split(','):
        assert url.startswith('https://'), url
        Path(url.split('/')[-1]).touch()
name = min(models)
download('mmrefine', [name], '.')
assert Path(name + '.py').is_file()
print(len(models))
"""
    assert int(run(any_python, '-c', code, cwd=tmp_path).splitlines()[-1]) > 5


def test_external_base_configs(any_python, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmrefine::segrefiner/segrefiner_tiny_folder.py'\nmax_iters = 7\n")
    code = """
import mmrefine.compat.auto
from mmengine.config import Config
from mmrefine.registry import MODELS
config = Config.fromfile('mine.py')
print(type(MODELS.build(config.model)).__name__, config.max_iters)
"""
    assert run(any_python, '-c', code, cwd=tmp_path).splitlines()[-1] == 'SegRefiner 7'
