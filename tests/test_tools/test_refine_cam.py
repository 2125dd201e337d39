"""tools/refine.py --cam as people use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.cli import refine
from tests.helpers.scenes import Scenes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with activation maps of 0.6 in the coarse masks and 0.25 around, and one broken file."""
    scenes = Scenes(tmp_path / 'data', 3)
    (scenes.folder / 'cams').mkdir()
    for index, name in enumerate(scenes.names):
        scores = np.where(scenes.coarse[index], 0.6, 0.25).astype(np.float32)
        np.save(scenes.folder / f'cams/{name}.npy', {'keys': np.array([0, 1]), 'high_res': scores})
    (scenes.folder / 'cams/scene_2.npy').write_bytes(b'broken')
    return scenes.folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs ``mmrefine refine`` in this process."""
    monkeypatch.chdir(folder)
    return lambda *arguments: refine.main(['photos', 'cams', '--cam', '--device', 'cpu', *arguments])


def test_best_threshold_pseudo_labels_and_miou(folder: Path, run: Callable, capsys: pytest.CaptureFixture):
    thresholds = ('--cam-threshold', '0.1', '0.3', '0.9')
    assert run(*thresholds, '--gt', 'true_labels', '--ignore-band', '--out', 'out') == 1
    stdout, stderr = capsys.readouterr()
    assert '0.3 (best)' in stdout and '| pseudo labels |' in stdout and '| refined       |' in stdout
    assert 'skipped scene_2.png: cams/scene_2.npy cannot be read as activation maps: not a .npy file' in stderr
    summary = json.loads((folder / 'out/summary.json').read_text())
    assert summary['settings']['cam_threshold'] == 0.3 and summary['total']['masks'] == 4
    assert (np.asarray(Image.open(folder / 'out/pseudo_labels/scene_0.png')) == 255).any()
    quality = json.loads((folder / 'out/label_quality.json').read_text())
    assert quality['refined']['mean_iou'] > quality['coarse']['mean_iou']


def test_without_ground_truth_the_user_chooses(folder: Path, run: Callable, capsys: pytest.CaptureFixture):
    assert run('--cam-threshold', '0.1', '0.3', '--out', 'out') == 0
    stdout, _ = capsys.readouterr()
    assert 'foreground %' in stdout and 'choose one of the thresholds' in stdout
    assert not (folder / 'out').exists()
    assert run('--out', 'out') == 1
    assert sorted(path.name for path in (folder / 'out/masks').iterdir()) == ['scene_0.png', 'scene_1.png']


def test_a_file_is_taken_away(folder: Path, run: Callable, capsys: pytest.CaptureFixture):
    """Its old result is not a result of the job any more: it is not measured, and starting anew deletes it."""
    job = ('--gt', 'true_labels', '--ignore-band', '--pictures', '--out', 'out')
    (folder / 'cams/scene_2.npy').unlink()
    assert run(*job) == 0
    quality = json.loads((folder / 'out/label_quality.json').read_text())
    (folder / 'cams/scene_1.npy').unlink()
    assert run(*job) == 0
    assert json.loads((folder / 'out/label_quality.json').read_text()) != quality
    assert run(*job, '--overwrite') == 0, capsys.readouterr().err
    for kind in ('masks', 'pseudo_labels', 'pictures'):
        assert [path.name for path in (folder / 'out' / kind).iterdir()] == ['scene_0.png']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--cam-threshold', '1.5'), 'must lie in [0, 1], got 1.5'),
        (('--semantic',), 'neither a COCO file nor label maps'),
        (('--gt', 'nowhere'), 'nowhere does not exist'),
    ],
)
def test_refusals(run: Callable, capsys: pytest.CaptureFixture, arguments: tuple, message: str):
    assert run('--out', 'out', *arguments) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
