"""Nothing of the user's is removed or overwritten, and results are never taken for input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.files.images import list_images
from mmrefine.jobs import JobReport, OutputError, VideoReport, refine_video
from mmrefine.jobs.formats.clips import safe_name
from mmrefine.jobs.lock import Lock
from mmrefine.jobs.outputs import OutputFolder
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.clips import COUNT, Clips
from tests.helpers.scenes import Scenes, run_job


def contents(folder: Path) -> dict[str, bytes]:
    """All files, also hidden ones."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def run(scenes: Scenes, images: str, masks: str, out: str, **more: object) -> JobReport:
    return run_job(scenes, masks, out, images=scenes.folder / images, **more)


def refuse(scenes: Scenes, images: str, masks: str, out: str, message: str, **more: object) -> None:
    """The job stops with a sentence, and no file is changed or new."""
    before = contents(scenes.folder)
    with pytest.raises((ValueError, OutputError), match=message):
        run(scenes, images, masks, out, **more)
    assert contents(scenes.folder) == before


# ---- where results would touch inputs ----


def test_results_in_the_place_of_inputs(scenes: Scenes) -> None:
    folder = scenes.folder
    shutil.move(folder / 'masks', folder / 'coarse')
    shutil.move(folder / 'truth', folder / 'masks')
    refuse(scenes, 'photos', 'coarse', '.', 'would overwrite the ground truth .*masks', gt=folder / 'masks')
    shutil.move(folder / 'masks', folder / 'truth')
    shutil.move(folder / 'photos', folder / 'pictures')
    refuse(scenes, 'pictures', 'coarse', '.', 'would overwrite the images .*pictures', pictures=1)
    refuse(scenes, 'pictures', 'coarse', 'pictures', 'among the images')
    refuse(scenes, 'pictures', 'coarse', 'pictures/refined', 'among the images')
    refuse(scenes, 'pictures', 'coarse', 'coarse/x', 'among the coarse masks')
    refuse(scenes, 'pictures', 'coarse', 'truth/x', 'among the ground truth', gt=folder / 'truth')
    (folder / 'out').mkdir()
    shutil.copy(folder / 'truth.json', folder / 'out/coco.json')
    refuse(scenes, 'pictures', 'coco.json', 'out', 'would overwrite the ground truth', gt=folder / 'out/coco.json')
    shutil.copy(folder / 'coco.json', folder / 'out/summary.json')
    refuse(scenes, 'out/summary.json', 'results.json', 'out', 'overwrite the images', image_root=folder / 'pictures')


def test_results_in_the_place_of_inputs_by_a_link(scenes: Scenes) -> None:
    (scenes.folder / 'out').mkdir()
    (scenes.folder / 'out/masks').symlink_to(scenes.folder / 'truth')
    refuse(scenes, 'photos', 'masks', 'out', 'would overwrite the ground truth', gt=scenes.folder / 'truth')
    refuse(scenes, 'photos', 'masks', 'out', 'is a link that leads out of .*out')
    os.unlink(scenes.folder / 'out/masks')
    (scenes.folder / 'photos/scene_1.png').rename(scenes.folder / 'elsewhere.png')
    (scenes.folder / 'out/masks').mkdir()
    (scenes.folder / 'elsewhere.png').rename(scenes.folder / 'out/masks/photo.png')
    (scenes.folder / 'photos/scene_1.png').symlink_to(scenes.folder / 'out/masks/photo.png')
    refuse(scenes, 'photos', 'masks', 'out', 'which contains the image')


def test_images_of_a_coco_file_in_the_place_of_results(scenes: Scenes) -> None:
    shutil.move(scenes.folder / 'photos', scenes.folder / 'pictures')
    options = {'image_root': scenes.folder / 'pictures', 'pictures': 2}
    refuse(scenes, 'coco.json', 'coco.json', '.', 'would overwrite|which contains the image', **options)


def test_a_file_that_nobody_knows_is_not_overwritten(scenes: Scenes) -> None:
    (scenes.folder / 'out/masks').mkdir(parents=True)
    (scenes.folder / 'out/masks/scene_3.png').write_text('mine')
    refuse(scenes, 'photos', 'masks', 'out', 'scene_3.png already exists and was not written by this job')
    refuse(scenes, 'photos', 'masks', 'out', 'was not written by this job', overwrite=True)
    (scenes.folder / 'out/masks/scene_3.png').unlink()
    assert not (scenes.folder / 'out/.job').exists()
    (scenes.folder / 'out/masks/other.png').write_text('mine')
    for overwrite in (False, True):
        run(scenes, 'photos', 'masks', 'out', overwrite=overwrite)
    assert (scenes.folder / 'out/masks/other.png').read_text() == 'mine'


def test_overwrite_deletes_what_the_job_wrote_and_nothing_else(scenes: Scenes) -> None:
    run(scenes, 'photos', 'labels', 'out', semantic=True, ignore_band=True, pictures=None)
    (scenes.folder / 'out/masks/note.txt').write_text('mine')
    (scenes.folder / 'out/mine').mkdir()
    run(scenes, 'photos', 'coco.json', 'out', overwrite=True)
    names = {name for name in contents(scenes.folder / 'out') if not name.startswith('.job/')}
    assert names == {'coco.json', 'summary.json', 'masks/note.txt'}
    assert sorted(os.listdir(scenes.folder / 'out')) == ['.job', 'coco.json', 'masks', 'mine', 'summary.json']


def test_a_link_in_the_place_of_a_result_is_not_followed(scenes: Scenes) -> None:
    run(scenes, 'photos', 'masks', 'out')
    made = scenes.folder / 'out/masks/scene_0.png'
    content = made.read_bytes()
    (scenes.folder / 'mine.png').write_bytes(b'mine')
    made.unlink()
    made.symlink_to(scenes.folder / 'mine.png')
    run(scenes, 'photos', 'masks', 'out')
    assert (scenes.folder / 'mine.png').read_bytes() == b'mine'
    assert not made.is_symlink() and made.read_bytes() == content


@pytest.mark.parametrize(
    'name', ['/a.png', '../a.png', 'x/../../a.png', 'x//a.png', '', '.', 'a/..', '.job/lock', '\0']
)
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError):
        OutputFolder(tmp_path / 'out').path(name)


# ---- clips ----


def refine_clips(made: Clips, frames: Path | str, masks: str, out: str, **more: object) -> VideoReport:
    options = {'model': BrightRefiner(), 'progress': False, **more}
    return refine_video(made.folder / frames, made.folder / masks, made.folder / out, **options)


@pytest.mark.parametrize('kind', ['absolute', 'parents', 'backslashes', 'drive'])
def test_names_of_clips_stay_in_the_folder(clips: Clips, kind: str) -> None:
    """The frames' folder, which such names lead to, and what else is there stay as they are."""
    frames = clips.folder / 'frames'
    (frames / 'a/unrelated.txt').write_text('mine')
    content = json.loads((clips.folder / 'masks.json').read_text())
    for video in content['videos']:
        folder = {
            'absolute': f'{frames}/',
            'parents': '../frames/../frames/',
            'backslashes': '..\\frames\\',
            'drive': 'C:\\',
        }[kind]
        video['file_names'] = [folder + name for name in video['file_names']]
    (clips.folder / 'masks.json').write_text(json.dumps(content))
    before = contents(clips.folder)
    report = refine_clips(clips, 'frames', 'masks.json', 'out', write=('png', 'json'), overlay=True)
    after = contents(clips.folder)
    assert {name: after.get(name) for name in before} == before
    assert all(name.startswith('out/') for name in after.keys() - before.keys())
    if kind != 'drive':
        assert not report.failed
        assert len([name for name in after if name.startswith('out/masks/')]) == 2 * COUNT


def test_clips_are_not_written_over_their_data_set(clips: Clips) -> None:
    before = contents(clips.folder)
    for frames, masks, out in (
        ('frames', 'masks', '.'),
        ('frames', 'masks.json', '.'),
        ('frames', 'masks', 'frames/a'),
        ('frames', 'masks.json', 'frames'),
    ):
        with pytest.raises(ValueError, match='results would .*; choose another --out'):
            refine_clips(clips, frames, masks, out)
    shutil.copytree(clips.folder / 'masks', clips.folder / 'set/masks')
    with pytest.raises(OutputError, match='already exists and was not written by this job'):
        refine_clips(clips, 'frames', 'masks', 'set')
    shutil.rmtree(clips.folder / 'set')
    assert contents(clips.folder) == before


def test_an_unrelated_file_in_a_folder_of_results_stays(clips: Clips) -> None:
    refine_clips(clips, 'frames', 'masks', 'out')
    (clips.folder / 'out/masks/a/note.txt').write_text('mine')
    refine_clips(clips, 'frames', 'masks', 'out', min_agreement=0.5, overwrite=True)
    assert (clips.folder / 'out/masks/a/note.txt').read_text() == 'mine'


@pytest.mark.parametrize(
    ('name', 'made'),
    [
        ('a/b', 'a/b'),
        ('/abs/a', 'abs/a'),
        ('../../a', 'a'),
        ('..\\a\\.\\b', 'a/b'),
        ('C:\\clips\\a', 'clips/a'),
        ('..', 'fallback'),
        ('', 'fallback'),
        ('a\0b\x1b[31m', 'a_b_[31m'),
        (7, '7'),
        ('x' * 300, 'fallback'),
    ],
)
def test_safe_names(name: object, made: str) -> None:
    assert safe_name(name, 'fallback') == made


# ---- results are no input ----


def test_results_among_the_images_are_not_images(scenes: Scenes) -> None:
    shutil.copytree(scenes.folder / 'photos', scenes.folder / 'set/photos')
    run(scenes, 'set/photos', 'masks', 'set/refined', pictures=None)
    found = list_images(scenes.folder / 'set')
    assert [path.relative_to(scenes.folder).parts[:2] for path in found] == [('set', 'photos')] * 5
    report = run(scenes, 'set', 'masks', 'again')
    assert not report.failed and report.total['images'] == 5
    shutil.copytree(scenes.folder / 'photos', scenes.folder / 'own/photos')
    run(scenes, 'own/photos', 'masks', 'own')
    assert len(list_images(scenes.folder / 'own')) == 5


# ---- two runs ----


def test_a_second_run_reports_the_first(scenes: Scenes) -> None:
    with Lock(scenes.folder / 'out/.job/lock'):
        with pytest.raises(OutputError, match=rf'out is in use by process {os.getpid()} on .* since 2.*; wait for it'):
            run(scenes, 'photos', 'masks', 'out')
        run(scenes, 'photos', 'masks', 'other')
    run(scenes, 'photos', 'masks', 'out')
    assert not (scenes.folder / 'out/.job/lock').exists()


HOLD = """
import sys
from pathlib import Path
from mmrefine.jobs.lock import Lock
with Lock(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_a_process_that_was_killed_is_taken_over(scenes: Scenes) -> None:
    path = scenes.folder / 'out/.job/lock'
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == 'held\n'
    with pytest.raises(OutputError, match=f'is in use by process {holder.pid} on'):
        run(scenes, 'photos', 'masks', 'out')
    holder.kill()
    holder.communicate()
    assert path.exists()
    assert run(scenes, 'photos', 'masks', 'out').total['images'] == 5


def test_the_lock_of_another_machine_counts_while_it_gives_signs_of_life(scenes: Scenes) -> None:
    path = scenes.folder / 'out/.job/lock'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({'host': 'elsewhere', 'process': 7, 'since': 'yesterday'}))
    with pytest.raises(OutputError, match='in use by process 7 on elsewhere since yesterday'):
        run(scenes, 'photos', 'masks', 'out')
    os.utime(path, (0, 0))
    run(scenes, 'photos', 'masks', 'out')


@pytest.mark.parametrize('content', ['', '{', '[]', '{"host": 3}'])
def test_a_damaged_lock_is_taken_over(scenes: Scenes, content: str) -> None:
    path = scenes.folder / 'out/.job/lock'
    path.parent.mkdir(parents=True)
    path.write_text(content)
    os.utime(path, (0, 0))
    run(scenes, 'photos', 'masks', 'out')
    assert np.asarray(Image.open(scenes.folder / 'out/masks/scene_0.png')).any()
