"""mmdet and mmseg beside an mmcv whose number they refuse."""

from __future__ import annotations

import pytest

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

SETUP = 'import mmrefine.compat as compat; compat.setup()\n'
IMPORTS = 'import mmdet, mmseg; print(mmcv.__version__)'


@pytest.fixture
def run_beside(tmp_path, run_python):
    """Runs code in a fresh interpreter where mmcv says it is ``version``, in its metadata and in the module."""

    def run(version: str, code: str):
        info = tmp_path / f'mmcv_lite-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: mmcv-lite\nVersion: {version}\n')
        pretend = f'import sys, mmcv; mmcv.__version__ = {version!r}; sys.path.insert(0, {str(tmp_path)!r})\n'
        return run_python(pretend + code)

    return run


def test_mmcv_2_2_is_accepted_and_keeps_its_version(run_beside):
    result = run_beside('2.2.0', SETUP + IMPORTS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == '2.2.0'


def test_the_check_is_why(run_beside):
    """Fails when mmdet accepts mmcv 2.2 by itself: then `mmcv_version.py` can go."""
    result = run_beside('2.2.0', IMPORTS)
    assert result.returncode != 0 and 'MMCV==2.2.0 is used but incompatible' in result.stderr


def test_other_versions_stay_refused(run_beside):
    result = run_beside('2.9.0', SETUP + IMPORTS)
    assert result.returncode != 0 and 'MMCV==2.9.0 is used but incompatible' in result.stderr
