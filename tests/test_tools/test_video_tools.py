"""The tools for videos as people use them: what they print, and their exit status."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE_HW = (40, 48)
CONFIG = """
model = dict(
    type='SegRefiner',
    denoiser=dict(
        type='DenoiseUNet', in_channels=4, model_channels=32, channel_mult=(1, 1), num_res_blocks=1,
        attention_strides=(), num_steps=4,
    ),
    schedule=dict(num_steps=4),
    input_size=32,
)
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """``frames/`` and ``masks/`` of the clips a and b, and a small SegRefiner."""
    for name in ('a', 'b'):
        for kind in ('frames', 'masks'):
            (tmp_path / kind / name).mkdir(parents=True)
        for frame in range(3):
            mask = np.zeros(SIZE_HW, np.uint8)
            mask[10:30, 8 + frame : 28 + frame] = 255
            image = np.repeat(np.where(mask, 200, 30).astype(np.uint8)[..., None], 3, axis=2)
            Image.fromarray(image).save(tmp_path / 'frames' / name / f'{frame:05d}.jpg')
            Image.fromarray(mask).save(tmp_path / 'masks' / name / f'{frame:05d}.png')
    (tmp_path / 'small.py').write_text(CONFIG, encoding='utf-8')
    return tmp_path


@pytest.fixture
def run(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a tool's ``main`` with arguments; its exit status."""

    def call(tool: str, *arguments: object) -> int:
        spec = importlib.util.spec_from_file_location(Path(tool).stem, repo_root / 'tools' / tool)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look themselves up
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        return module.main()

    return call


def test_refine_video(repo_root, clips):
    """A frame and a video cannot be decoded: each is named once, and the exit status says so."""
    (clips / 'frames' / 'b' / '00001.jpg').write_bytes(b'no image')
    (clips / 'frames' / 'c.mp4').write_bytes(b'no video')
    shutil.copytree(clips / 'masks' / 'b', clips / 'masks' / 'c')
    arguments = ('frames', 'masks', '--out', 'out', '--config', 'small.py', '--device', 'cpu', '--overlay')
    command = [sys.executable, str(repo_root / 'tools' / 'refine_video.py'), *arguments]
    done = subprocess.run(command, cwd=clips, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert 'a: 3 frames' in done.stdout and 'flicker' in done.stdout
    reports = [line for line in done.stderr.splitlines() if not line.startswith('frames ')]
    assert [line.split(': ')[0] for line in reports] == ['skipped c', 'not used b, frame 00001']
    assert 'c.mp4 cannot be decoded' in reports[0] and '00001.jpg is not a readable image file' in reports[1]
    assert ' frames/s' in done.stderr and '0:00:' in done.stderr  # time left
    assert sorted(path.name for path in (clips / 'out' / 'masks' / 'b').iterdir()) == [f'0000{k}.png' for k in range(3)]


def test_evaluate_video(run, clips, capsys):
    (clips / 'names.txt').write_text('a\n')
    masks = clips / 'masks'
    assert (
        run('analysis_tools/evaluate_video.py', masks, masks, '--clips', clips / 'names.txt', '--json', clips / 's')
        == 0
    )
    assert 'a object 1: J 100.0 F 100.0' in capsys.readouterr().out
    assert json.loads((clips / 's').read_text())['scores']['J&F'] == 1


def test_what_cannot_start(run, clips, capsys):
    for tool, arguments, message in (
        ('refine_video.py', (clips / 'absent', clips / 'masks', '--out', clips / 'out'), 'do not exist'),
        ('analysis_tools/evaluate_video.py', (clips / 'absent', clips / 'masks'), '00001.png does not exist'),
    ):
        assert run(tool, *arguments) == 2
        assert message in capsys.readouterr().err


def test_measure_video(run, clips, capsys):
    """Four lines for each clip; the ground truth, measured against itself, is perfect."""
    arguments = (clips / 'frames', clips / 'masks', '--clips', 'a', '--model', clips / 'small.py')
    assert run('analysis_tools/measure_video.py', *arguments) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('  ')]
    assert [line[2:18].strip() for line in lines] == ['GT', 'coarse', 'frame by frame', 'consistent']
    assert lines[0].split()[1:4] == ['100.0', '100.0', '0.0']
    assert run('analysis_tools/measure_video.py', *arguments[:2], '--model', clips / 'small.py') == 0
    both = capsys.readouterr().out.split('all 2 objects')[1].splitlines()
    assert [line.split()[0] for line in both[1:]] == ['GT', 'coarse', 'frame', 'consistent']
