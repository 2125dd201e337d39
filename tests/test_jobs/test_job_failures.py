"""Jobs in which inputs cannot be used, fail alone or are refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.core.rle import decode_segmentation
from mmrefine.jobs import OutputError, engine
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.records import Records
from mmrefine.models.refiners import RefineInput
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes, files_of, run_job


def read_png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


# ---- failures ----


@pytest.mark.parametrize('masks', ['coco.json', 'masks', 'labels'])
def test_broken_and_missing_images_are_skipped_and_tried_again(scenes: Scenes, masks: str) -> None:
    photos = scenes.folder / 'photos'
    options = {'semantic': masks == 'labels'}
    run_job(scenes, masks, 'whole', **options)
    good = {name: (photos / name).read_bytes() for name in ('scene_1.png', 'scene_3.png', 'scene_4.png')}
    (photos / 'scene_1.png').write_bytes(good['scene_1.png'][:60])
    (photos / 'scene_3.png').unlink()
    Image.new('RGB', SIZE_HW).save(photos / 'scene_4.png')

    refiner = BrightRefiner()
    report = run_job(scenes, masks, model=refiner, **options)
    # Masks of COCO have sizes of their own: each of them is told not to fit.
    errors = {failure['image']: failure['error'] for failure in [*report.failed, *report.problems]}
    assert list(errors) == ['scene_1.png', 'scene_3.png', 'scene_4.png']
    assert len(report.failed) == (2 if masks == 'coco.json' else 3)
    assert 'damaged or truncated' in errors['scene_1.png']
    assert 'no image named scene_3.png under' in errors['scene_3.png']
    assert '40' in errors['scene_4.png'] and '60' in errors['scene_4.png'] and 'EXIF' in errors['scene_4.png']
    assert report.total['failed_images'] == len(report.failed) == 5 - report.total['images']
    assert report.total['problems'] == len(report.problems) == (2 if masks == 'coco.json' else 0)
    assert scenes.read_json('out/summary.json')['failed'] == report.failed
    if masks == 'coco.json':  # complete: records of skipped images are as they came
        before, after = (scenes.read_json(name)['annotations'] for name in ('coco.json', 'out/coco.json'))
        same = [old == new for old, new in zip(before, after, strict=True)]
        assert same == [record['image_id'] in (11, 13, 14) for record in before]
    else:
        assert sorted(files_of(scenes.folder / 'out/masks')) == ['scene_0.png', 'scene_2.png']

    for name, content in good.items():
        (photos / name).write_bytes(content)
    assert not run_job(scenes, masks, model=refiner, **options).failed
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'whole')


def test_masks_that_cannot_be_used_are_failures_of_their_image(scenes: Scenes) -> None:
    masks = scenes.folder / 'masks'
    colour = np.zeros((*SIZE_HW, 3), np.uint8)
    colour[3, 3] = (255, 0, 0)
    Image.fromarray(colour).save(masks / 'scene_0.png')
    Image.fromarray(np.arange(3, dtype=np.uint8).repeat(800).reshape(SIZE_HW)).save(masks / 'scene_1.png')
    (masks / 'scene_2.png').write_bytes(b'no picture')
    errors = [failure['error'] for failure in run_job(scenes, 'masks').failed]
    assert len(errors) == 3
    assert 'colour image of 3 channels' in errors[0]
    assert 'for label maps use --semantic' in errors[1]
    assert 'not a readable image file' in errors[2]


@pytest.mark.parametrize('size', [5, None, [40], [40, 60, 1], 'ab'])
def test_a_damaged_record_fails_alone(scenes: Scenes, size: object) -> None:
    content = scenes.read_json('coco.json')
    content['annotations'][3]['segmentation']['size'] = size
    scenes.write_json('coco.json', content)
    report = run_job(scenes, 'coco.json')
    [problem] = report.problems
    assert (problem['image'], problem['mask']) == ('scene_3.png', 994) and 'RLE cannot be read' in problem['error']
    assert not report.failed and report.total['kept'] == 1 and report.total['accepted'] == 9
    [entry] = [entry for entry in report.masks if entry['mask'] == 994]
    assert not entry['accepted'] and entry['reason'] == problem['error']
    after = scenes.read_json('out/coco.json')['annotations']
    assert after[3] == content['annotations'][3]
    assert all(new != old for new, old in zip(after, content['annotations'], strict=True) if new['id'] != 994)


@pytest.mark.parametrize(
    'error',
    [
        ValueError('too small'),
        MemoryError(),
        torch.OutOfMemoryError('CUDA out of memory'),
        SystemExit('no licence'),
        GeneratorExit('left'),
    ],
)
def test_an_image_that_cannot_be_refined_takes_no_other_with_it(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    refine_image = BrightRefiner._refine_image

    def refuse_one(self: BrightRefiner, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        if np.array_equal(item.masks[0], scenes.coarse[2, 0]):
            raise error
        return refine_image(self, item)

    run_job(scenes, 'masks', 'whole')
    with monkeypatch.context() as patch:
        patch.setattr(BrightRefiner, '_refine_image', refuse_one)
        report = run_job(scenes, 'masks')
    assert [failure['image'] for failure in report.failed] == ['scene_2.png']
    assert (str(error) or 'MemoryError') in report.failed[0]['error']
    assert len(files_of(scenes.folder / 'out/masks')) == 4
    run_job(scenes, 'masks')
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'whole')


def test_parts_that_got_lost_are_noticed(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk of another process is not that of the first."""
    monkeypatch.setattr(engine, '_SETTLE_S', 0.0)
    write = Records.write
    monkeypatch.setattr(Records, 'write', lambda self, key, record: key == 'scene_2.png' or write(self, key, record))
    with pytest.raises(OutputError, match='job has neither a result nor an error of .*; all processes must'):
        run_job(scenes, 'masks')
    assert not (scenes.folder / 'out/summary.json').exists()


def test_a_image_lying_on_its_side_is_refined_upright(scenes: Scenes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned counterclockwise
    path = scenes.folder / 'photos/scene_0.png'
    Image.fromarray(np.rot90(read_png(path), -1)).save(path, exif=exif)
    run_job(scenes, 'coco.json', images=path.parent)
    new = scenes.read_json('out/coco.json')['annotations'][0]
    np.testing.assert_array_equal(decode_segmentation(new['segmentation'], SIZE_HW), scenes.true[0, 0])


# ---- refusals ----


def test_inputs_are_never_overwritten(scenes: Scenes) -> None:
    before = files_of(scenes.folder)
    for masks, out, options in (
        ('masks', '', {}),
        ('coco.json', '', {}),
        ('masks/scene_0.png', '', {'images': scenes.folder / 'photos/scene_0.png'}),
    ):
        with pytest.raises(ValueError, match='results would .* the coarse masks .*; choose another --out'):
            run_job(scenes, masks, out, **options)
    scenes.write_json('summary.json', scenes.read_json('coco.json'))
    with pytest.raises(ValueError, match='summary.json has the same name as another file'):
        run_job(scenes, 'summary.json')
    (scenes.folder / 'summary.json').unlink()
    assert files_of(scenes.folder) == before


def test_output_folder_that_cannot_be_made(scenes: Scenes) -> None:
    (scenes.folder / 'file').write_text('')
    with pytest.raises(OSError, match=r'cannot be written \(Not a directory\); choose another --out'):
        run_job(scenes, 'masks', 'file/out')


def test_disk_that_fills_up(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job stops with a sentence, and goes on when there is space again."""
    unfinished = OutputFolder(scenes.folder / 'out').unfinished('masks/scene_2.png')

    def fsync(number: int) -> None:
        if unfinished.name in os.readlink(f'/proc/self/fd/{number}'):
            raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', fsync)
        with pytest.raises(OSError, match='the disk is full: .*scene_2.png could not be written; free some space'):
            run_job(scenes, 'masks', batch_masks=1)
    run_job(scenes, 'masks', batch_masks=1)
    run_job(scenes, 'masks', 'unbroken', batch_masks=1)
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'unbroken')


def test_ground_truth_of_another_kind(scenes: Scenes) -> None:
    with pytest.raises(ValueError, match='must have the format of the masks, png, got .*truth.json of the format coco'):
        run_job(scenes, 'masks', gt=scenes.folder / 'truth.json')
    with pytest.raises(ValueError, match='must have the format of the masks, coco, got .*truth of the format png'):
        run_job(scenes, 'coco.json', gt=scenes.folder / 'truth')
    with pytest.raises(FileNotFoundError, match='ground truth .*nowhere does not exist'):
        run_job(scenes, 'masks', gt=scenes.folder / 'nowhere')
    (scenes.folder / 'other').mkdir()
    Image.new('L', (3, 3)).save(scenes.folder / 'other/else.png')
    with pytest.raises(ValueError, match='no file under .*other has the name of a mask'):
        run_job(scenes, 'masks', gt=scenes.folder / 'other')


def test_launchers_and_actors_that_do_not_go_together(scenes: Scenes) -> None:
    for options in ({'actors': 2}, {'actors': 0, 'launcher': 'ray'}):
        with pytest.raises(ValueError, match='actors needs launcher "ray" and must be at least 1, got '):
            run_job(scenes, 'masks', **options)


def test_an_ambiguous_image_is_skipped_and_reported(scenes: Scenes) -> None:
    photos = scenes.folder / 'photos'
    (photos / 'scene_2.jpg').write_bytes((photos / 'scene_2.png').read_bytes())
    report = run_job(scenes, 'masks', gt=scenes.folder / 'masks')
    [failure] = report.failed
    assert failure['image'] == 'scene_2.png' and 'could belong to scene_2.jpg or scene_2.png' in failure['error']
    assert report.total['images'] == 4 and not report.problems


def test_ambiguous_ground_truth_is_reported(scenes: Scenes) -> None:
    gt = scenes.folder / 'gt'
    for name in ('a/scene_0.png', 'b/scene_0.png', 'scene_1.png'):
        (gt / name).parent.mkdir(parents=True, exist_ok=True)
        (gt / name).write_bytes((scenes.folder / 'masks' / Path(name).name).read_bytes())
    report = run_job(scenes, 'masks', gt=gt)
    [problem] = report.problems
    assert problem['image'] == 'scene_0.png' and 'scene_0.png could belong to a/scene_0.png or b/' in problem['error']


@pytest.mark.parametrize('folder', ['photos', 'masks'])
def test_a_link_that_leads_in_a_circle_fails_alone(scenes: Scenes, folder: str) -> None:
    path = scenes.folder / folder / 'scene_1.png'
    path.unlink()
    path.symlink_to(path)
    report = run_job(scenes, 'masks')
    assert [failure['image'] for failure in report.failed] == ['scene_1.png'] and report.total['images'] == 4


@pytest.mark.parametrize('polygons', [-1, float('nan'), float('inf')])
def test_tolerances_that_are_none_are_refused_at_once(scenes: Scenes, polygons: float) -> None:
    with pytest.raises(ValueError, match='the tolerance of polygons must be at least 0 and finite .pixels., got'):
        run_job(scenes, 'coco.json', polygons=polygons)
    assert not (scenes.folder / 'out').exists()


def test_ground_truth_of_none_of_the_masks_is_reported(scenes: Scenes) -> None:
    content = scenes.read_json('truth.json')
    for annotation in content['annotations']:
        annotation['id'] += 10_000
    scenes.write_json('others.json', content)
    assert run_job(scenes, 'coco.json', gt=scenes.folder / 'truth.json').is_clean
    [problem] = run_job(scenes, 'coco.json', gt=scenes.folder / 'others.json').problems
    assert problem['image'] == 'others.json' and 'it contains none of the masks; ids' in problem['error']
