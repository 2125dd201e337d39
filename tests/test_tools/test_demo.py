"""The demo runs with what is in the package, and the bundled model makes its masks better."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip('skimage', reason='the demo images come with scikit-image')


def test_demo(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    spec = importlib.util.spec_from_file_location('demo_tool', repo_root / 'tools' / 'demo.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--out', str(tmp_path / 'out'), '--device', 'cpu'])
    assert tool.main() == 0
    printed = capsys.readouterr().out

    coarse = json.loads((repo_root / 'demo/coarse_masks.json').read_text(encoding='utf-8'))
    refined = json.loads((tmp_path / 'out/coarse_masks.json').read_text(encoding='utf-8'))
    assert [item['id'] for item in refined['annotations']] == [item['id'] for item in coarse['annotations']]
    rows = [line for line in printed.splitlines() if 'accepted' in line or 'kept' in line]
    # One for each mask, the totals, and why coarse masks were kept.
    assert len(rows) == len(coarse['annotations']) + 2
    names = {Path(item['file_name']).stem for item in coarse['images']}
    pictures = sorted((tmp_path / 'out/pictures').iterdir())
    assert {path.stem for path in pictures} == names
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width > 900

    summary = json.loads((tmp_path / 'out/summary.json').read_text(encoding='utf-8'))
    gts = len(json.loads((repo_root / 'demo/ground_truth.json').read_text(encoding='utf-8'))['annotations'])
    assert sum('refined' in entry for entry in summary['masks']) == gts
    # What the demo is for. The model card says how much; here it must only be no accident (+4 points half way through
    # the training already).
    assert summary['total']['measures']['gain/iou'] > 0.02
    assert summary['total']['measures']['gain/boundary_iou'] > 0.05
