"""First masks of objects, cut out of annotations as LVOS and DAVIS have them."""

from __future__ import annotations

import json
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from mmrefine.core.palette import voc_palette
from mmrefine.files.mask_files import read_mask_file
from mmrefine.jobs import refine_video
from mmrefine.jobs.video_scores import evaluate_lvos
from tests.helpers.bright_refiner import BrightRefiner


@pytest.fixture
def clip(tmp_path):
    """Object 1 from frame 0 on, object 2 from frame 2 on, void beside them."""
    for number in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[2:8, number : number + 6] = 1
        labels[19] = 255
        if number >= 2:
            labels[10:15, 10:20] = 2
        for folder, image in (('frames', Image.fromarray(labels * 0)), ('annotations', Image.fromarray(labels))):
            path = tmp_path / folder / 'cat' / (f'{number:05}.jpg' if folder == 'frames' else f'{number:05}.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            if folder == 'annotations':
                image.putpalette(voc_palette())
            image.save(path)
    return tmp_path


@pytest.fixture
def run(repo_root, monkeypatch, capsys, clip):
    def run(*options: str) -> tuple[int, str]:
        script = str(repo_root / 'tools/dataset_converters/first_frame_masks.py')
        folders = [str(clip / name) for name in ('frames', 'annotations', 'out')]
        monkeypatch.setattr(sys, 'argv', [script, *folders, *options])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(script, run_name='__main__')
        captured = capsys.readouterr()
        return stopped.value.code, captured.out + captured.err

    return run


def test_every_object_is_cut_out_where_it_is_first_seen(run, clip):
    code, text = run('--check')
    assert code == 0 and '2 objects in 1 of 1 clip found' in text and not (clip / 'out').exists()
    assert run()[0] == 0
    files = sorted((clip / 'out/cat').iterdir())
    assert [path.name for path in files] == ['00000.png', '00002.png']
    first, second = map(read_mask_file, files)
    assert np.unique(first.values).tolist() == [0, 1] and first.values[2:8, :6].all()
    assert np.unique(second.values).tolist() == [0, 2] and second.values[10:15, 10:20].all()
    assert first.palette is not None


def test_one_clip_without_frames_is_left_out_and_named(run, clip):
    (clip / 'annotations/dog').mkdir()
    (clip / 'annotations/cat/00001.png').rename(clip / 'annotations/dog/00001.png')
    code, text = run()
    assert code == 1 and 'dog' in text and '1 of 2 clips' in text
    assert (clip / 'out/cat/00002.png').is_file() and not (clip / 'out/dog').exists()


def test_lvos_from_its_folders_to_a_number(tmp_path, repo_root, monkeypatch):
    """First masks are cut out, followed along flow, and measured as LVOS's toolkit does; frames are 1, 6, 11, 16."""
    numbers, clip = (1, 6, 11, 16), 'v1'
    for index, number in enumerate(numbers):
        labels = np.zeros((48, 64), np.uint8)
        labels[10:25, 5 + index : 20 + index] = 1
        if index >= 1:
            labels[20:40, 40 - index : 55 - index] = 3
        image = np.random.default_rng(0).integers(0, 40, (48, 64, 3), dtype=np.uint8)
        image[labels > 0] = 220
        for folder, picture, suffix in (('JPEGImages', image, 'jpg'), ('Annotations', labels, 'png')):
            path = tmp_path / folder / clip / f'{number:08d}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    ranges = {'1': {'start': 1, 'end': 17}, '3': {'start': 6, 'end': 17}}
    objects = {label: {'frame_range': frames} for label, frames in ranges.items()}
    (tmp_path / 'meta.json').write_text(json.dumps({'videos': {clip: {'objects': objects}}}))
    script = str(repo_root / 'tools/dataset_converters/first_frame_masks.py')
    folders = [str(tmp_path / name) for name in ('JPEGImages', 'Annotations', 'first')]
    monkeypatch.setattr(sys, 'argv', [script, *folders])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(script, run_name='__main__')
    assert stopped.value.code == 0
    kwargs = {'model': BrightRefiner(), 'allow_gaps': True, 'progress': False}
    refine_video(tmp_path / 'JPEGImages', tmp_path / 'first', tmp_path / 'out', **kwargs)
    scores = evaluate_lvos(tmp_path / 'out/masks', tmp_path / 'Annotations', tmp_path / 'meta.json')
    assert [(one.object_id, len(one.j)) for one in scores] == [(1, 4), (3, 3)]
    assert all(one.j.mean() > 0.8 for one in scores)
