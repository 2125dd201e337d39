"""What has changed is done again, what has not is not; damaged memories are no memories."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.core.rle import encode_rle
from mmrefine.files.digests import plain
from mmrefine.jobs import JobReport, refine_dataset
from mmrefine.jobs.fingerprints import fingerprint_files
from mmrefine.jobs.records import Records
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.clips import COUNT, Clips, scene
from tests.helpers.scenes import Scenes, files_of

KINDS = ['coco.json', 'masks', 'labels']


class Runner:
    """Runs jobs of one dataset, and counts the images that were refined."""

    def __init__(self, scenes: Scenes, masks: str = 'masks', **options: object):
        self.scenes, self.masks = scenes, masks
        self.options = {'semantic': masks == 'labels', 'device': 'cpu', 'progress': False, **options}
        self.refined = 0

    def __call__(self, out: str = 'out', model: BrightRefiner | None = None, **more: object) -> JobReport:
        model = model or BrightRefiner()
        folder = self.scenes.folder
        options = {**self.options, 'model': model, **more}
        report = refine_dataset(folder / 'photos', folder / self.masks, folder / out, **options)
        self.refined = sum(map(len, model.batches))
        return report

    def results(self, out: str = 'out') -> dict[str, bytes]:
        return files_of(self.scenes.folder / out)


def brighten(path: Path) -> None:
    """Another image of the same size."""
    pixels = np.array(Image.open(path))
    pixels[:3, :3] = 90
    Image.fromarray(pixels).save(path)


# ---- inputs ----


@pytest.mark.parametrize('masks', KINDS)
def test_a_changed_image(scenes: Scenes, masks: str) -> None:
    run = Runner(scenes, masks, batch_masks=1)
    run()
    brighten(scenes.folder / 'photos/scene_2.png')
    run()
    assert run.refined == 1
    run()
    assert run.refined == 0
    run('anew')
    assert run.results() == run.results('anew')


def test_a_image_that_was_only_copied(scenes: Scenes) -> None:
    run = Runner(scenes)
    run()
    for path in (scenes.folder / 'photos').iterdir():
        os.utime(path, (0, 0))
    run()
    assert run.refined == 0


def test_a_changed_mask(scenes: Scenes) -> None:
    run = Runner(scenes, batch_masks=1)
    run()
    Image.fromarray(scenes.true[3, 0].astype(np.uint8) * 255).save(scenes.folder / 'masks/scene_3.png')
    run()
    assert run.refined == 1
    run('anew')
    assert run.results() == run.results('anew')


def test_a_changed_annotation(scenes: Scenes) -> None:
    run = Runner(scenes, 'coco.json', batch_masks=1)
    run()
    content = scenes.read_json('coco.json')
    content['annotations'][4]['segmentation'] = encode_rle(scenes.true[4, 0])
    content['info'] = {'year': 2025}
    scenes.write_json('coco.json', content)
    run()
    assert run.refined == 1  # an image with two annotations
    run('anew')
    assert run.results() == run.results('anew')


def test_another_field_of_a_coco_file_is_in_the_results(scenes: Scenes) -> None:
    run = Runner(scenes, 'coco.json')
    run()
    content = scenes.read_json('coco.json')
    content['info'] = {'year': 2025}
    scenes.write_json('coco.json', content)
    run()
    assert run.refined == 0 and scenes.read_json('out/coco.json')['info'] == {'year': 2025}


def test_changed_weights_and_another_config(scenes: Scenes) -> None:
    run = Runner(scenes)
    run()
    other = BrightRefiner()
    other.threshold.data += 150
    run(model=other)
    assert run.refined == 5
    run('anew', other)
    assert run.results() == run.results('anew')
    run(model=BrightRefiner(gate={'min_score': 1.01}))
    assert run.refined == 5 and run().total['kept'] == 0


def test_a_config_says_the_same_wherever_its_files_are(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'weights.pth').write_bytes(b'1')
    configs = [
        {'model': {'init_cfg': [{'checkpoint': str(tmp_path / name / 'weights.pth')}]}, 'n': (1, None)} for name in 'ab'
    ]
    assert plain(configs[0]) == plain(configs[1])
    (tmp_path / 'b/weights.pth').write_bytes(b'2')
    assert plain(configs[0]) != plain(configs[1])


def test_fingerprints_do_not_depend_on_the_place(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/x').write_text('1')
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    first, second = (fingerprint_files([tmp_path / name / 'x']) for name in 'ab')
    assert second.agrees(first.as_json())
    (tmp_path / 'b/x').write_text('2')
    assert not fingerprint_files([tmp_path / 'b/x']).agrees(first.as_json())
    for unknown in (None, [], ['a'], 'ab', [1, 2, 3]):
        assert not first.agrees(unknown)


def test_a_job_may_be_moved(scenes: Scenes, tmp_path: Path) -> None:
    run = Runner(scenes, gt=None)
    run()
    moved = tmp_path / 'moved'
    shutil.move(scenes.folder, moved)
    scenes.folder = moved
    run()
    assert run.refined == 0


# ---- what is added ----


@pytest.mark.parametrize('masks', KINDS)
def test_more_is_asked_for_later(scenes: Scenes, masks: str) -> None:
    """Pictures, ground truth, an ignore band: only they are made, and the end is that of asking for them at once."""
    gt = {'coco.json': 'truth.json', 'masks': 'truth', 'labels': 'true_labels'}[masks]
    more = [{'pictures': None}, {'gt': scenes.folder / gt}]
    more += [{'ignore_band': True}] if masks == 'labels' else []
    run = Runner(scenes, masks)
    run()
    asked: dict = {}
    for option in more:
        asked |= option
        run(**asked)
        assert run.refined == 0
    report = run('at_once', **asked)
    assert run.results() == run.results('at_once')
    assert report.total['measures']['refined/iou'] > report.total['measures']['coarse/iou']


@pytest.mark.parametrize('masks', KINDS)
def test_an_image_is_added(make_scenes: Callable[[int], Scenes], masks: str) -> None:
    """Also where it changes which images would be refined together."""
    scenes = make_scenes(9)
    run = Runner(scenes, masks, batch_masks=4)
    hidden = scenes.folder / 'scene_0'
    hidden.mkdir()
    files = {kind: f'{kind}/scene_0.png' for kind in ('photos', 'masks', 'labels')}
    for kind, file in files.items():
        shutil.move(scenes.folder / file, hidden / kind)
    content = scenes.read_json('coco.json')
    rest = [record for record in content['annotations'] if record['image_id'] != 10]
    scenes.write_json('coco.json', {**content, 'annotations': rest})
    run()
    assert run.refined == 8
    for kind, file in files.items():
        shutil.move(hidden / kind, scenes.folder / file)
    scenes.write_json('coco.json', content)
    run()
    assert run.refined == 1
    run('at_once')
    assert run.results() == run.results('at_once')


def test_an_image_is_taken_away(scenes: Scenes) -> None:
    """It is in no report; its result stays, since nothing could make it again."""
    run = Runner(scenes)
    run()
    (scenes.folder / 'masks/scene_1.png').unlink()
    report = run()
    assert run.refined == 0 and report.total['images'] == 4
    assert (scenes.folder / 'out/masks/scene_1.png').exists()
    run(overwrite=True)
    assert not (scenes.folder / 'out/masks/scene_1.png').exists()


# ---- results ----


@pytest.mark.parametrize('masks', KINDS)
@pytest.mark.parametrize('damage', ['delete', 'empty', 'cut', 'other'])
def test_damaged_results_are_made_again(scenes: Scenes, masks: str, damage: str) -> None:
    run = Runner(scenes, masks, pictures=None, ignore_band=masks == 'labels')
    run()
    good = run.results()
    for name, content in good.items():
        path = scenes.folder / 'out' / name
        if damage == 'delete':
            path.unlink()
        else:
            path.write_bytes({'empty': b'', 'cut': content[:-9], 'other': content[::-1]}[damage])
    run()
    assert run.refined == 0 and run.results() == good


def test_a_failed_image_keeps_no_old_result(scenes: Scenes) -> None:
    run = Runner(scenes, pictures=None)
    run()
    (scenes.folder / 'photos/scene_1.png').write_bytes(b'broken')
    (scenes.folder / 'masks/scene_2.png').write_bytes(b'broken')
    report = run()
    assert [failure['image'] for failure in report.failed] == ['scene_1.png', 'scene_2.png']
    gone = {f'{kind}/scene_{index}.png' for kind in ('masks', 'pictures') for index in (1, 2)}
    assert not gone & run.results().keys() and len(run.results()) == 2 * 3 + 1
    (scenes.folder / 'photos/scene_3.png').write_bytes(b'broken')
    run(pictures=0)
    assert 'pictures/scene_3.png' not in run.results()


def test_pictures_that_are_not_asked_for_any_more_show_no_old_masks(scenes: Scenes) -> None:
    run = Runner(scenes, pictures=None)
    run()
    brighten(scenes.folder / 'photos/scene_1.png')
    run(pictures=0)
    brighten(scenes.folder / 'photos/scene_2.png')
    changed = scenes.true[1, 0].copy()
    changed[0, 0] = True
    Image.fromarray(changed.astype(np.uint8) * 255).save(scenes.folder / 'masks/scene_1.png')
    other = BrightRefiner(reach_px=1)
    run(model=other, pictures=0)
    assert not [name for name in run.results() if name.startswith('pictures/')]


def test_overwrite_starts_again(scenes: Scenes) -> None:
    run = Runner(scenes, 'labels', ignore_band=True, pictures=None, gt=scenes.folder / 'true_labels')
    run()
    for kind in ('photos', 'labels'):
        (scenes.folder / kind / 'scene_4.png').unlink()
    run(overwrite=True)
    assert run.refined == 4
    run('anew')
    assert run.results() == run.results('anew')


# ---- memories ----

DAMAGE = [b'', b'{', b'null', b'[]', b'{"choices": 3}', b'\xff\xfe\x00', b'{"crc32": 1, "record": {}}']


@pytest.mark.parametrize('content', DAMAGE)
def test_damaged_memories(scenes: Scenes, content: bytes) -> None:
    run = Runner(scenes, pictures=1)
    run()
    good = run.results()
    state = scenes.folder / 'out/.job'
    for name in ('settings.json', 'final.json', 'records.jsonl', 'arguments.json', 'manifest.jsonl'):
        before = (state / name).read_bytes()
        (state / name).write_bytes(content)
        run()
        assert run.results() == good, name
        assert run.refined == (5 if name == 'records.jsonl' else 0)
        assert name == 'settings.json' or (state / name).read_bytes() == before


@pytest.mark.parametrize('content', [b'', b'{}'])
def test_a_damaged_manifest_of_a_job_with_failures(scenes: Scenes, content: bytes) -> None:
    (scenes.folder / 'photos/scene_1.png').write_bytes(b'no image')
    run = Runner(scenes)
    run()
    good, manifest = run.results(), scenes.folder / 'out/.job/manifest.jsonl'
    manifest.write_bytes(content)
    run()
    assert run.results() == good and run.refined == 0


@pytest.mark.parametrize('content', DAMAGE)
def test_damaged_parts_of_a_job_that_was_stopped(
    scenes: Scenes, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner(scenes, batch_masks=1)
    run('unbroken')
    write, written = Records.write, []

    class Stop(BaseException):
        pass

    def stop(self: Records, key: str, record: dict) -> None:
        if len(written) == 3:
            raise Stop
        written.append(key)
        write(self, key, record)

    with monkeypatch.context() as patch:
        patch.setattr(Records, 'write', stop)
        with pytest.raises(Stop):
            run()
    parts = sorted((scenes.folder / 'out/.job/parts').rglob('*.json'))
    parts[0].write_bytes(content)
    parts[1].write_bytes(parts[2].read_bytes())  # that of another image
    run()
    assert run.refined == 4 and run.results() == run.results('unbroken')


def test_a_record_with_a_changed_digit_is_none(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write('a', {'masks': {'score': 0.25}})
    records.merge(['a'])
    path = tmp_path / 'records.jsonl'
    assert [record['key'] for record in Records(tmp_path)] == ['a']
    path.write_bytes(path.read_bytes().replace(b'0.25', b'0.26'))
    assert list(Records(tmp_path)) == []


def test_other_choices_are_refused_whatever_is_damaged(scenes: Scenes) -> None:
    run = Runner(scenes)
    run()
    with pytest.raises(ValueError, match=r'other settings \(seed 0, now 1\)'):
        run(seed=1)
    (scenes.folder / 'out/.job/settings.json').unlink()
    run(seed=1)
    assert run.refined == 5  # records tell whose they are
    assert json.loads((scenes.folder / 'out/summary.json').read_text())['settings']['seed'] == 1


# ---- clips ----


def refined_frames(clips: Clips, **more: object) -> int:
    refiner = BrightRefiner()
    clips.refine(model=refiner, min_agreement=0, **more)
    return len(refiner.batches)


def test_changed_frames_and_masks_of_clips(clips: Clips) -> None:
    assert refined_frames(clips) == 2 * COUNT
    assert refined_frames(clips) == 0
    brighten(clips.folder / 'frames/b/00001.png')
    assert refined_frames(clips) == COUNT
    Image.fromarray(scene(1)[1]).save(clips.folder / 'masks/a/00002.png')
    assert refined_frames(clips) == COUNT
    assert refined_frames(clips, overlay=True, write=('png', 'json')) == 0
    refined_frames(clips, out='anew', overlay=True, write=('png', 'json'))
    assert files_of(clips.folder / 'out') == files_of(clips.folder / 'anew')


def test_damaged_results_of_clips(clips: Clips) -> None:
    refined_frames(clips)
    good = files_of(clips.folder / 'out')
    (clips.folder / 'out/masks/a/00002.png').unlink()
    (clips.folder / 'out/masks/b/00000.png').write_bytes(b'')
    (clips.folder / 'out/summary.json').write_text('{}')
    assert refined_frames(clips) == 0 and files_of(clips.folder / 'out') == good


def test_a_changed_record_of_a_clip(clips: Clips) -> None:
    assert refined_frames(clips, masks='masks.json') == 2 * COUNT
    content = json.loads((clips.folder / 'masks.json').read_text())
    content['annotations'][0]['segmentations'][1] = None
    (clips.folder / 'masks.json').write_text(json.dumps(content))
    assert refined_frames(clips, masks='masks.json') == COUNT


def test_a_clip_is_added_and_another_damaged(clips: Clips) -> None:
    refined_frames(clips)
    for kind in ('frames', 'masks'):
        shutil.copytree(clips.folder / kind / 'a', clips.folder / kind / 'c')
    assert refined_frames(clips) == COUNT
    for path in (clips.folder / 'frames/b').iterdir():
        path.write_bytes(b'no image')
    assert refined_frames(clips) == 0
    assert {path.name for path in (clips.folder / 'out/masks').iterdir()} == {'a', 'c'}  # nothing old is kept


@pytest.mark.parametrize('name', ['settings.json', 'final.json', 'records.jsonl', 'manifest.jsonl'])
def test_damaged_memories_of_clips(clips: Clips, name: str) -> None:
    refined_frames(clips)
    good = files_of(clips.folder / 'out')
    for content in DAMAGE[:3]:
        (clips.folder / 'out/.job' / name).write_bytes(content)
        assert refined_frames(clips) == (2 * COUNT if name == 'records.jsonl' else 0)
        assert files_of(clips.folder / 'out') == good
