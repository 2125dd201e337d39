"""tools/refine.py as people use it: what it prints, its exit status, and being killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.cli import refine
from mmrefine.core.rle import encode_rle
from mmrefine.models.model_zoo import build_refiner

COUNT = 30
SIZE_HW = (48, 64)
CONFIG = """
model = dict(
    type='SegRefiner',
    denoiser=dict(
        type='DenoiseUNet', in_channels=4, model_channels=32, channel_mult=(1, 1), num_res_blocks=1,
        attention_strides=(), num_steps=4,
    ),
    schedule=dict(num_steps=4),
    input_size=64,
    margin_px=6,
    min_area=16,
)
"""

# The tool, killed as by kill -9 when it has written a third of its records, however fast it gets there.
DIES = f"""
import os, runpy, signal
from pathlib import Path
from mmrefine.jobs import records
from mmrefine.jobs.records import Records

write, written = Records.write, []

def write_and_die(self, key, record):
    write(self, key, record)
    written.append(key)
    if len(written) == {COUNT // 3}:
        os.kill(os.getpid(), signal.SIGKILL)

Records.write = write_and_die
tools = Path(records.__file__).parents[2] / 'tools'
runpy.run_path(str(tools / 'refine.py'), run_name='__main__')
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, their masks in a COCO file, and a small SegRefiner with random weights."""
    folder = tmp_path_factory.mktemp('refine')
    rng = np.random.default_rng(0)
    (folder / 'photos').mkdir()
    images, annotations = [], []
    for index in range(COUNT):
        name = f'{index:03d}.png'
        Image.fromarray(rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)).save(folder / 'photos' / name)
        images.append({'id': index, 'file_name': name, 'height': SIZE_HW[0], 'width': SIZE_HW[1]})
        for position in range(1 + index % 3):
            mask = np.zeros(SIZE_HW, bool)
            mask[5 + position : 30 + index % 9, 8 + 9 * position : 30 + 9 * position] = True
            record = {'id': 7 * index + position, 'image_id': index, 'category_id': 1, 'segmentation': encode_rle(mask)}
            annotations.append(record)
    rng.shuffle(annotations)
    write_json(folder / 'coarse.json', {'images': images, 'annotations': annotations, 'categories': []})
    (folder / 'small.py').write_text(CONFIG, encoding='utf-8')
    refiner = build_refiner(folder / 'small.py', device='cpu')
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.2 * torch.randn(value.shape, generator=generator) for name, value in refiner.state_dict().items()
    }
    torch.save(weights, folder / 'small.pth')
    return folder


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding='utf-8')


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.fixture
def start(folder: Path, repo_root: Path) -> Callable[..., subprocess.Popen]:
    """Starts the tool on the dataset in a process of its own, which ends with the test."""
    started = []

    def start(*arguments: str, script: Path = repo_root / 'tools' / 'refine.py') -> subprocess.Popen:
        command = [sys.executable, str(script), *arguments]
        paths = os.pathsep.join([str(repo_root), *os.environ.get('PYTHONPATH', '').split(os.pathsep)])
        env = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=folder, env=env, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs ``mmrefine refine`` in this process."""
    monkeypatch.chdir(folder)
    return lambda *arguments: refine.main([*arguments])


MODEL = ('--config', 'small.py', '--checkpoint', 'small.pth', '--device', 'cpu')


def test_killed_and_started_again_ends_as_if_unbroken(folder: Path, start: Callable) -> None:
    job = ('photos', 'coarse.json', *MODEL, '--pictures', '5', '--batch-masks', '4', '--seed', '3')
    unbroken = start(*job, '--out', 'unbroken')
    stdout, stderr = unbroken.communicate()
    assert unbroken.returncode == 0, stderr
    assert f'total: {COUNT} images' in stdout and f'{COUNT}/{COUNT}' in stderr and 'masks/s, 0:00:00 left' in stderr

    (folder / 'dies.py').write_text(DIES)
    killed = start(*job, '--out', 'broken', script=folder / 'dies.py')
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert len(list((folder / 'broken/.job/parts').glob('*/*.json'))) == COUNT // 3
    resumed = start(*job, '--out', 'broken')
    stdout, stderr = resumed.communicate()
    assert resumed.returncode == 0, stderr
    assert f'total: {COUNT} images' in stdout
    assert f'/{COUNT} ' not in stderr  # only what was left is counted as work
    assert files_of(folder / 'broken') == files_of(folder / 'unbroken')


def test_help_teaches_without_loading_anything_heavy(start: Callable) -> None:
    process = start('--help')
    stdout, _ = process.communicate()
    assert process.returncode == 0
    for text in ('IMAGES', 'MASKS', '--semantic', '--gt', '--no-gate', 'exit status', 'examples:'):
        assert text in stdout


def test_skipped_images_are_counted_and_give_status_1(
    folder: Path, run: Callable, capsys: pytest.CaptureFixture
) -> None:
    (folder / 'few').mkdir()
    for name in ('000.png', '001.png'):
        (folder / 'few' / name).write_bytes((folder / 'photos' / name).read_bytes())
    (folder / 'few/002.png').write_bytes(b'broken')
    assert run('few', 'coarse.json', *MODEL, '--out', 'partly', '--no-gate') == 1
    stdout, stderr = capsys.readouterr()
    assert 'total: 2 images' in stdout
    assert 'skipped 002.png: few/002.png is not a readable image file' in stderr
    assert f'{COUNT - 2} images skipped.' in stderr


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('nowhere', 'coarse.json'), 'images nowhere do not exist'),
        (('photos', 'nowhere.json'), 'masks nowhere.json do not exist'),
        (('photos', 'coarse.json', '--config', 'nowhere.py'), "unknown model 'nowhere.py'"),
        (
            ('photos', 'coarse.json', '--config', 'small.py', '--checkpoint', 'coarse.json'),
            'is not a PyTorch checkpoint',
        ),
        (('photos', 'coarse.json', '--config', 'small.py', '--checkpoint', 'gone.pth'), 'gone.pth does not exist'),
        (('photos', 'coarse.json', *MODEL[:-1], 'warp'), "device 'warp' is not available"),
        (('photos', 'coarse.json', *MODEL, '--out', 'small.py/x'), 'cannot be written (Not a directory)'),
        (('photos', 'coarse.json', *MODEL, '--out', '.'), 'would overwrite the coarse masks'),
        (('photos', 'coarse.json', *MODEL, '--gt', 'photos'), 'ground truth must have the format of the masks'),
        (('photos', 'coarse.json', *MODEL, '--batch-masks', '0'), 'batch_masks must be at least 1, got 0'),
        (('photos', 'coarse.json', *MODEL, '--workers', '0'), 'workers must be at least 1, got 0'),
    ],
)
def test_refusals_are_one_sentence_and_status_2(
    folder: Path, run: Callable, capsys: pytest.CaptureFixture, arguments: tuple, message: str
) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert run('--out', 'refused', *arguments) == 2
    last_line = capsys.readouterr().err.strip().splitlines()[-1]
    assert last_line.startswith('error: ') and message in last_line
    assert sorted(path.name for path in folder.iterdir()) == before


def test_unknown_image_ids(folder: Path, run: Callable, capsys: pytest.CaptureFixture) -> None:
    write_json(folder / 'strange.json', [{'image_id': 999, 'category_id': 1, 'segmentation': []}])
    assert run('coarse.json', 'strange.json', '--image-root', 'photos', '--out', 'refused', *MODEL) == 2
    assert 'unknown images: image_id 999 not among the images of coarse.json' in capsys.readouterr().err


def test_label_options(run: Callable, folder: Path) -> None:
    (folder / 'maps').mkdir()
    Image.fromarray(np.full(SIZE_HW, 7, np.uint8)).save(folder / 'maps/000.png')
    labels = ('--semantic', '--ignore-label', 'none', '--background-label', '7')
    assert run('photos', 'maps', *labels, '--out', 'mapped', *MODEL) == 0
    assert (np.asarray(Image.open(folder / 'mapped/masks/000.png')) == 7).all()
