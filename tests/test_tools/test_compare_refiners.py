"""tools/analysis_tools/compare_refiners.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import REPO_ROOT

TOOL = REPO_ROOT / 'tools/analysis_tools/compare_refiners.py'


def run(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(TOOL), *map(str, args)], capture_output=True, text=True, cwd=REPO_ROOT)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Three images of a disk; coarse masks that are 2 px too small, too large, and right."""
    rng = np.random.default_rng(0)
    for kind in ('images', 'masks', 'coarse'):
        (tmp_path / kind).mkdir()
    ys, xs = np.mgrid[:80, :100]
    distance = np.hypot(ys - 40, xs - 50)
    for name, change in (('small', -2), ('large', 2), ('right', 0)):
        image = np.where((distance < 25)[..., None], (40, 80, 200), (160, 120, 60)) + rng.normal(0, 8, (80, 100, 3))
        cv2.imwrite(str(tmp_path / f'images/{name}.png'), np.clip(image, 0, 255).astype(np.uint8))
        cv2.imwrite(str(tmp_path / f'masks/{name}.png'), (distance < 25).astype(np.uint8) * 255)
        cv2.imwrite(str(tmp_path / f'coarse/{name}.png'), (distance < 25 + change).astype(np.uint8) * 255)
    return tmp_path


def test_refiners_of_a_folder_side_by_side(data_root):
    refiners = ['baselines/grab-cut.py', 'baselines/guided-filter.py']
    result = run(data_root, '--refiner', *refiners, '--device', 'cpu', '--out', data_root / 'tables.md')
    assert result.returncode == 0, result.stderr
    assert (data_root / 'tables.md').read_text() == result.stdout
    assert '3/3' not in result.stderr  # a progress bar is for terminals
    rows = [
        [cell.strip() for cell in line.strip('| ').split('|')] for line in result.stdout.splitlines() if '|' in line
    ]
    header, _, coarse, grab_cut, guided_filter = rows
    assert header[0] == 'given, 3 masks' and header[3] == 'over grab-cut'
    areas = [
        np.count_nonzero(cv2.imread(str(data_root / f'coarse/{name}.png'), 0)) for name in ('small', 'right', 'large')
    ]
    expected = np.mean([areas[0] / areas[1], 1, areas[1] / areas[2]])
    assert coarse[:2] == ['coarse', f'{100 * expected:.1f}']
    assert [grab_cut[0], guided_filter[0]] == ['grab-cut', 'guided-filter']
    gain = float(grab_cut[2].split()[0])
    assert gain == pytest.approx(float(grab_cut[1]) - float(coarse[1]), abs=0.11) and gain > 5
    assert float(grab_cut[7]) == pytest.approx(66.7) and float(grab_cut[6]) == 0
    assert float(guided_filter[2].split()[0]) <= gain
    low, high = map(float, guided_filter[3].strip('[]').split(','))
    assert low <= high <= 0.5 and float(grab_cut[9]) >= 0 and float(grab_cut[10]) >= 0


def test_a_folder_without_coarse_masks_is_named(data_root):
    (data_root / 'coarse').rename(data_root / 'rough')
    result = run(data_root)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert result.stderr.startswith('error: ') and 'must hold the folders images, masks and coarse' in result.stderr
