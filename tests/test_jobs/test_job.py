"""Whole jobs: kinds, order, ids and fields that stay, summary, failures, going on after an interruption."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.apis import RefineInferencer
from mmrefine.core.rle import box_of, decode_segmentation, encode_rle
from mmrefine.jobs import OutputError, engine, image_work, refine_dataset, shares
from mmrefine.jobs.formats import FormatOptions, open_masks
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.records import Records
from mmrefine.jobs.report import JobReport, format_report
from mmrefine.models.refiners import RefineInput
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes, files_of


def run(scenes: Scenes, masks: str, out: str | Path = 'out', **more: object) -> JobReport:
    options = {'images': scenes.folder / 'photos', 'model': BrightRefiner(), 'device': 'cpu', 'progress': False, **more}
    return refine_dataset(masks=scenes.folder / masks, out=scenes.folder / out, **options)


def read_png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


# ---- COCO ----


@pytest.mark.parametrize('images', ['photos', 'coco.json'])
def test_annotations_keep_order_ids_and_fields(scenes: Scenes, images: str) -> None:
    root = None if images == 'photos' else scenes.folder / 'photos'
    run(scenes, 'coco.json', images=scenes.folder / images, image_root=root)
    before, after = scenes.read_json('coco.json'), scenes.read_json('out/coco.json')
    assert {key: value for key, value in after.items() if key != 'annotations'} == {
        key: value for key, value in before.items() if key != 'annotations'
    }
    changed = {'segmentation', 'area', 'bbox'}
    for position, (old, new) in enumerate(zip(before['annotations'], after['annotations'], strict=True)):
        assert list(new) == list(old)
        assert {key: new[key] for key in old if key not in changed} == {
            key: old[key] for key in old if key not in changed
        }
        true = scenes.true[position % 5, position // 5]
        assert type(new['segmentation']['counts']) is type(old['segmentation']['counts'])
        np.testing.assert_array_equal(decode_segmentation(new['segmentation'], SIZE_HW), true)
        assert new['area'] == true.sum() and new['bbox'] == box_of(true)


def test_results_stay_a_list_with_its_fields(scenes: Scenes) -> None:
    run(scenes, 'results.json', images=scenes.folder / 'coco.json', image_root=scenes.folder / 'photos')
    before, after = scenes.read_json('results.json'), scenes.read_json('out/results.json')
    assert [item['score'] for item in after] == [item['score'] for item in before]
    for position, (old, new) in enumerate(zip(before, after, strict=True)):
        assert list(new) == list(old)
        np.testing.assert_array_equal(
            decode_segmentation(new['segmentation'], SIZE_HW), scenes.true[position % 5, position // 5]
        )


def test_kept_masks_stay_and_polygons_become_rle(scenes: Scenes) -> None:
    content = scenes.read_json('coco.json')
    polygon = [[7, 7, 24, 7, 24, 18, 7, 18]]
    content['annotations'] = content['annotations'][:3]
    content['annotations'][0]['segmentation'] = polygon
    content['annotations'][1]['segmentation'] = []
    scenes.write_json('coco.json', content)
    run(scenes, 'coco.json', model=BrightRefiner(gate={'min_score': 1.01}))
    after = scenes.read_json('out/coco.json')['annotations']
    assert after[0]['segmentation'] == encode_rle(decode_segmentation(polygon, SIZE_HW))
    assert {**after[0], 'segmentation': polygon} == content['annotations'][0]
    assert after[1:] == content['annotations'][1:]


def test_what_the_gate_kept_is_told(scenes: Scenes) -> None:
    report = run(scenes, 'coco.json', model=BrightRefiner(), gate={'min_score': 1.01})
    num_masks = report.total['masks']
    assert report.total['accepted'] == 0 and report.total['kept_for'] == {'score too low': num_masks}
    assert format_report(report).endswith(
        f'{num_masks} of {num_masks} coarse masks were kept: score too low {num_masks}. '
        '--no-gate accepts every proposal, --gate min_score=none drops this condition alone.'
    )
    assert run(scenes, 'coco.json', 'free', model=BrightRefiner()).total['kept_for'] == {}


def test_empty_results_give_empty_results(scenes: Scenes) -> None:
    scenes.write_json('results.json', [])
    report = run(scenes, 'results.json')
    assert scenes.read_json('out/results.json') == []
    assert report.total['masks'] == 0 and not report.failed
    assert '0 masks' in format_report(report)


@pytest.mark.parametrize('noise', [0.0, 0.1])
def test_masks_that_do_not_fit_into_memory_together(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, noise: float
) -> None:
    """They go through the refiner one by one, with the same end."""
    run(scenes, 'coco.json', 'whole', model=BrightRefiner(noise=noise), pictures=None)
    refiner = BrightRefiner(noise=noise)
    monkeypatch.setattr(shares, 'MAX_BATCH_PX', SIZE_HW[0] * SIZE_HW[1])
    monkeypatch.setattr(image_work, 'MAX_BATCH_PX', SIZE_HW[0] * SIZE_HW[1])
    run(scenes, 'coco.json', 'split', model=refiner, pictures=None)
    assert refiner.batches == [[1]] * 10
    assert files_of(scenes.folder / 'split') == files_of(scenes.folder / 'whole')


# ---- PNG ----


def test_png_masks(scenes: Scenes) -> None:
    run(scenes, 'masks')
    written = files_of(scenes.folder / 'out/masks')
    assert sorted(written) == sorted(f'{name}.png' for name in scenes.names)
    for index, name in enumerate(scenes.names):
        np.testing.assert_array_equal(read_png(scenes.folder / f'out/masks/{name}.png'), scenes.true[index, 0] * 255)


def test_label_maps_keep_void_and_labels(scenes: Scenes) -> None:
    report = run(scenes, 'labels', semantic=True, gt=scenes.folder / 'true_labels')
    for pair, name in zip(scenes.true, scenes.names, strict=True):
        np.testing.assert_array_equal(read_png(scenes.folder / f'out/masks/{name}.png'), scenes.label_map(pair))
    assert [entry['mask'] for entry in report.masks] == [1, 2] * 5
    assert all(entry['refined'][name] == 1 for entry in report.masks for name in ('iou', 'boundary_iou'))


def test_a_label_can_be_refined_as_a_whole(scenes: Scenes) -> None:
    """One region for each label, whatever parts it has; what is reported is one mask per label either way."""
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[2:8, 2:8] = labels[2:8, 40:46] = 1
    Image.fromarray(labels).save(scenes.folder / 'one.png')
    photo, counts = scenes.folder / 'photos/scene_0.png', {}
    for split in ('classes', 'merged'):
        source = open_masks(scenes.folder / 'one.png', photo, options=FormatOptions(semantic=True, split=split))
        counts[split] = len(source.read(source.tasks[0], SIZE_HW).regions)
        report = run(scenes, 'one.png', images=photo, out=split, semantic=True, split=split)
        assert [entry['mask'] for entry in report.masks] == [1]
    assert counts == {'classes': 1, 'merged': 2}
    with pytest.raises(ValueError, match="'objects'"):
        run(scenes, 'labels', semantic=True, split='objects')


def test_labels_that_meet_are_settled_by_score(scenes: Scenes) -> None:
    """Two labels claim one bright block; the one whose refined mask it covers better has the higher score."""
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[8:30, 35:49], labels[8:30, 49:55] = 1, 2
    Image.fromarray(labels).save(scenes.folder / 'one.png')
    report = run(scenes, 'one.png', images=scenes.folder / 'photos/scene_0.png', semantic=True)
    after = read_png(scenes.folder / 'out/masks/one.png')
    scores = {entry['mask']: entry['score'] for entry in report.masks}
    assert scores[1] > scores[2]
    expected = labels.copy()
    expected[8:30, 49:54] = 1  # reach of label 1's refined mask
    np.testing.assert_array_equal(after, expected)


# ---- report ----


def test_summary(scenes: Scenes) -> None:
    report = run(
        scenes, 'coco.json', model=BrightRefiner(gate={'min_agreement': 0.71}), gt=scenes.folder / 'truth.json'
    )
    summary = scenes.read_json('out/summary.json')
    assert summary['total'] == report.total and summary['masks'] == report.masks and summary['failed'] == []
    assert [entry['mask'] for entry in summary['masks']][:4] == [1000, 999, 998, 997]
    assert {entry['category'] for entry in summary['masks']} == {'left', 'right'}
    for entry in summary['masks']:
        index, position = (1000 - entry['mask']) // 2, (1000 - entry['mask']) % 2
        coarse, true = scenes.coarse[index, position], scenes.true[index, position]
        iou = (coarse & true).sum() / (coarse | true).sum()
        assert entry['image'] == f'scene_{index}.png'
        assert entry['area_px'] == coarse.sum()
        assert entry['coarse']['iou'] == pytest.approx(iou)
        if iou >= 0.71:
            assert entry['accepted'] and entry['reason'] == '' and entry['refined']['iou'] == 1
            assert entry['refined_area_px'] == true.sum() and entry['changed_px'] == (coarse ^ true).sum()
        else:
            assert not entry['accepted'] and entry['reason'].startswith('overlap')
            assert entry['refined'] == entry['coarse'] and entry['changed_px'] == 0
    accepted = sum(entry['accepted'] for entry in summary['masks'])
    assert 0 < accepted < 10
    total = summary['total']
    assert (total['images'], total['masks'], total['accepted'], total['kept']) == (5, 10, accepted, 10 - accepted)
    means = [np.mean([entry[side]['iou'] for entry in summary['masks']]) for side in ('coarse', 'refined')]
    assert total['measures']['coarse/iou'] == pytest.approx(means[0])
    assert total['measures']['gain/iou'] == pytest.approx(means[1] - means[0])
    assert summary['settings']['seed'] == 0 and summary['settings']['model'] == 'BrightRefiner'
    assert {'mmrefine', 'torch', 'numpy'} <= summary['versions'].keys()


def test_results_are_measured_against_what_they_overlap(scenes: Scenes) -> None:
    gt = scenes.read_json('truth.json')
    gt['annotations'] = [item for item in gt['annotations'] if item['image_id'] != 12]
    scenes.write_json('truth.json', gt)
    options = {'images': scenes.folder / 'coco.json', 'image_root': scenes.folder / 'photos'}
    report = run(scenes, 'results.json', gt=scenes.folder / 'truth.json', **options)
    measured = [entry for entry in report.masks if 'refined' in entry]
    assert len(measured) == 8 and all(entry['refined']['iou'] == 1 for entry in measured)
    assert {entry['image'] for entry in report.masks if 'refined' not in entry} == {'scene_2.png'}


def test_table(scenes: Scenes) -> None:
    report = run(scenes, 'masks', gt=scenes.folder / 'truth')
    text = format_report(report, max_rows=3)
    lines = text.splitlines()
    assert [title in lines[0] for title in ('image', 'mask', 'area px', 'change %', 'score', 'verdict', 'IoU %')]
    assert 'scene_0.png' in text and 'scene_3.png' not in text and '… and 2 more' in text
    coarse, true = scenes.coarse[0, 0], scenes.true[0, 0]
    iou = 100 * (coarse & true).sum() / (coarse | true).sum()
    assert f'{iou:.1f} -> 100.0 (+{100 - iou:.1f})' in text
    assert 'total: 5 images' in lines[-1] and '5 accepted, 0 kept, 0 % harmed' in lines[-1]


def test_pictures_of_the_first_images(scenes: Scenes) -> None:
    run(scenes, 'masks', pictures=2)
    assert sorted(path.name for path in (scenes.folder / 'out/pictures').iterdir()) == ['scene_0.png', 'scene_1.png']


# ---- results that depend on nothing else ----


def test_the_job_gives_what_the_inferencer_gives(scenes: Scenes) -> None:
    run(scenes, 'masks', model=BrightRefiner(noise=0.1), seed=3)
    inferencer = RefineInferencer(BrightRefiner(noise=0.1), seed=3)
    for index, name in enumerate(scenes.names):
        result = inferencer(scenes.folder / f'photos/{name}.png', scenes.coarse[index, :1])
        np.testing.assert_array_equal(read_png(scenes.folder / f'out/masks/{name}.png') > 0, result.masks[0])
    run(scenes, 'masks', 'other', model=BrightRefiner(noise=0.1), seed=4)
    assert files_of(scenes.folder / 'out/masks') != files_of(scenes.folder / 'other/masks')


def test_workers_and_batches_change_nothing(scenes: Scenes) -> None:
    refiner = BrightRefiner(noise=0.1)
    run(scenes, 'coco.json', 'one', model=refiner, workers=1, batch_masks=1)
    run(scenes, 'coco.json', 'two', model=refiner, workers=4, batch_masks=5)
    assert refiner.batches == [[2]] * 5 + [[2, 2], [2, 2], [2]]
    assert files_of(scenes.folder / 'one') == files_of(scenes.folder / 'two')


# ---- interruptions ----


class _Interrupted(BaseException):
    pass


@pytest.mark.parametrize('masks', ['coco.json', 'masks', 'labels'])
def test_an_interrupted_job_goes_on_and_ends_the_same(
    make_scenes: Callable[[int], Scenes], masks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = make_scenes(9)
    options = {'semantic': masks == 'labels', 'pictures': 3, 'batch_masks': 4}
    run(scenes, masks, 'unbroken', model=BrightRefiner(noise=0.1), **options)

    write, written = Records.write, []

    def write_three(self: Records, key: str, record: dict) -> None:
        if len(written) == 3:
            raise _Interrupted
        written.append(key)
        write(self, key, record)

    refiner = BrightRefiner(noise=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(Records, 'write', write_three)
        with pytest.raises(_Interrupted):
            run(scenes, masks, 'broken', model=refiner, **options)
    assert not (scenes.folder / 'broken/summary.json').exists()
    refined_before = sum(map(len, refiner.batches))
    run(scenes, masks, 'broken', model=refiner, **options)
    assert files_of(scenes.folder / 'broken') == files_of(scenes.folder / 'unbroken')
    # The group in which it was interrupted is refined again, whole, since rounding may depend on the batch.
    group = 1 if masks == 'labels' else 2 if masks == 'coco.json' else 4
    assert sum(map(len, refiner.batches)) - refined_before == 9 - 3 + group - 1


def test_a_finished_job_is_not_done_again(scenes: Scenes) -> None:
    refiner = BrightRefiner()
    first = run(scenes, 'masks', model=refiner)
    before, batches = files_of(scenes.folder / 'out'), len(refiner.batches)
    second = run(scenes, 'masks', model=refiner)
    assert second.total == first.total and second.masks == first.masks
    assert len(refiner.batches) == batches and files_of(scenes.folder / 'out') == before
    assert not (scenes.folder / 'out/.job/parts').exists()


def test_another_job_in_the_same_folder_is_refused_unless_told(scenes: Scenes) -> None:
    run(scenes, 'masks')
    with pytest.raises(ValueError, match=r'out holds results of a job with other settings \(seed 0, now 1\); choose'):
        run(scenes, 'masks', seed=1)
    run(scenes, 'masks', seed=1, overwrite=True)
    assert scenes.read_json('out/summary.json')['settings']['seed'] == 1


# ---- failures ----


@pytest.mark.parametrize('masks', ['coco.json', 'masks', 'labels'])
def test_broken_and_missing_images_are_skipped_and_tried_again(scenes: Scenes, masks: str) -> None:
    photos = scenes.folder / 'photos'
    options = {'semantic': masks == 'labels'}
    run(scenes, masks, 'whole', **options)
    good = {name: (photos / name).read_bytes() for name in ('scene_1.png', 'scene_3.png', 'scene_4.png')}
    (photos / 'scene_1.png').write_bytes(good['scene_1.png'][:60])
    (photos / 'scene_3.png').unlink()
    Image.new('RGB', SIZE_HW).save(photos / 'scene_4.png')

    refiner = BrightRefiner()
    report = run(scenes, masks, model=refiner, **options)
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
    assert not run(scenes, masks, model=refiner, **options).failed
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'whole')


def test_masks_that_cannot_be_used_are_failures_of_their_image(scenes: Scenes) -> None:
    masks = scenes.folder / 'masks'
    colour = np.zeros((*SIZE_HW, 3), np.uint8)
    colour[3, 3] = (255, 0, 0)
    Image.fromarray(colour).save(masks / 'scene_0.png')
    Image.fromarray(np.arange(3, dtype=np.uint8).repeat(800).reshape(SIZE_HW)).save(masks / 'scene_1.png')
    (masks / 'scene_2.png').write_bytes(b'no picture')
    errors = [failure['error'] for failure in run(scenes, 'masks').failed]
    assert len(errors) == 3
    assert 'colour image of 3 channels' in errors[0]
    assert 'for label maps use --semantic' in errors[1]
    assert 'not an image file that can be read' in errors[2]


@pytest.mark.parametrize('size', [5, None, [40], [40, 60, 1], 'ab'])
def test_a_damaged_record_fails_alone(scenes: Scenes, size: object) -> None:
    content = scenes.read_json('coco.json')
    content['annotations'][3]['segmentation']['size'] = size
    scenes.write_json('coco.json', content)
    report = run(scenes, 'coco.json')
    [problem] = report.problems
    assert (problem['image'], problem['mask']) == ('scene_3.png', 994) and 'RLE cannot be read' in problem['error']
    assert not report.failed and report.total['kept'] == 1 and report.total['accepted'] == 9
    [entry] = [entry for entry in report.masks if entry['mask'] == 994]
    assert not entry['accepted'] and entry['reason'] == problem['error']
    after = scenes.read_json('out/coco.json')['annotations']
    assert after[3] == content['annotations'][3]
    assert all(new != old for new, old in zip(after, content['annotations'], strict=True) if new['id'] != 994)


@pytest.mark.parametrize(
    'error', [ValueError('too small'), MemoryError(), torch.OutOfMemoryError('CUDA out of memory')]
)
def test_an_image_that_cannot_be_refined_takes_no_other_with_it(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refine_image = BrightRefiner._refine_image

    def refuse_one(self: BrightRefiner, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        if np.array_equal(item.masks[0], scenes.coarse[2, 0]):
            raise error
        return refine_image(self, item)

    run(scenes, 'masks', 'whole')
    with monkeypatch.context() as patch:
        patch.setattr(BrightRefiner, '_refine_image', refuse_one)
        report = run(scenes, 'masks')
    assert [failure['image'] for failure in report.failed] == ['scene_2.png']
    assert (str(error) or 'MemoryError') in report.failed[0]['error']
    assert len(files_of(scenes.folder / 'out/masks')) == 4
    run(scenes, 'masks')
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'whole')


def test_parts_that_got_lost_are_noticed(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk of another process is not that of the first."""
    monkeypatch.setattr(engine, '_SETTLE_S', 0.0)
    write = Records.write
    monkeypatch.setattr(Records, 'write', lambda self, key, record: key == 'scene_2.png' or write(self, key, record))
    with pytest.raises(OutputError, match='1 images have neither a result nor an error in .*job; all processes must'):
        run(scenes, 'masks')
    assert not (scenes.folder / 'out/summary.json').exists()


def test_a_photograph_lying_on_its_side_is_refined_upright(scenes: Scenes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned counterclockwise
    path = scenes.folder / 'photos/scene_0.png'
    Image.fromarray(np.rot90(read_png(path), -1)).save(path, exif=exif)
    run(scenes, 'coco.json', images=path.parent)
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
            run(scenes, masks, out, **options)
    scenes.write_json('summary.json', scenes.read_json('coco.json'))
    with pytest.raises(ValueError, match='summary.json has the name of another file of the job'):
        run(scenes, 'summary.json')
    (scenes.folder / 'summary.json').unlink()
    assert files_of(scenes.folder) == before


def test_output_folder_that_cannot_be_made(scenes: Scenes) -> None:
    (scenes.folder / 'file').write_text('')
    with pytest.raises(OSError, match=r'cannot be written \(Not a directory\); choose another --out'):
        run(scenes, 'masks', 'file/out')


def test_disk_that_fills_up(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job stops with a sentence, and goes on when there is space again."""
    unfinished = OutputFolder(scenes.folder / 'out').unfinished('masks/scene_2.png')

    def fsync(number: int) -> None:
        if unfinished.name in os.readlink(f'/proc/self/fd/{number}'):
            raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', fsync)
        with pytest.raises(OSError, match='the disk is full: .*scene_2.png could not be written; free some space'):
            run(scenes, 'masks', batch_masks=1)
    run(scenes, 'masks', batch_masks=1)
    run(scenes, 'masks', 'unbroken', batch_masks=1)
    assert files_of(scenes.folder / 'out') == files_of(scenes.folder / 'unbroken')


def test_ground_truth_of_another_kind(scenes: Scenes) -> None:
    with pytest.raises(ValueError, match='must have the format of the masks, png, got .*truth.json of the format coco'):
        run(scenes, 'masks', gt=scenes.folder / 'truth.json')
    with pytest.raises(ValueError, match='must have the format of the masks, coco, got .*truth of the format png'):
        run(scenes, 'coco.json', gt=scenes.folder / 'truth')
    with pytest.raises(FileNotFoundError, match='ground truth .*nowhere does not exist'):
        run(scenes, 'masks', gt=scenes.folder / 'nowhere')
    (scenes.folder / 'other').mkdir()
    Image.new('L', (3, 3)).save(scenes.folder / 'other/else.png')
    with pytest.raises(ValueError, match='no file under .*other has the name of a mask'):
        run(scenes, 'masks', gt=scenes.folder / 'other')


def test_launchers_and_actors_that_do_not_go_together(scenes: Scenes) -> None:
    for options in ({'actors': 2}, {'actors': 0, 'launcher': 'ray'}):
        with pytest.raises(ValueError, match='actors needs launcher "ray" and must be at least 1, got '):
            run(scenes, 'masks', **options)


def test_summary_is_json_without_nan(scenes: Scenes) -> None:
    for folder in ('masks', 'truth'):
        for name in scenes.names:
            Image.new('L', SIZE_HW[::-1]).save(scenes.folder / f'{folder}/{name}.png')
    run(scenes, 'masks', gt=scenes.folder / 'truth')

    def refuse(constant: str) -> None:
        raise AssertionError(f'{constant} is not JSON')

    json.loads((scenes.folder / 'out/summary.json').read_text(), parse_constant=refuse)


def test_an_ambiguous_image_is_skipped_and_told(scenes: Scenes) -> None:
    photos = scenes.folder / 'photos'
    (photos / 'scene_2.jpg').write_bytes((photos / 'scene_2.png').read_bytes())
    report = run(scenes, 'masks', gt=scenes.folder / 'masks')
    [failure] = report.failed
    assert failure['image'] == 'scene_2.png' and 'could belong to scene_2.jpg or scene_2.png' in failure['error']
    assert report.total['images'] == 4 and not report.problems


def test_ambiguous_ground_truth_is_told(scenes: Scenes) -> None:
    gt = scenes.folder / 'gt'
    for name in ('a/scene_0.png', 'b/scene_0.png', 'scene_1.png'):
        (gt / name).parent.mkdir(parents=True, exist_ok=True)
        (gt / name).write_bytes((scenes.folder / 'masks' / Path(name).name).read_bytes())
    report = run(scenes, 'masks', gt=gt)
    [problem] = report.problems
    assert problem['image'] == 'scene_0.png' and 'scene_0.png could belong to a/scene_0.png or b/' in problem['error']


@pytest.mark.parametrize('iscrowd', [1, True, 2, '1'])
def test_whatever_is_marked_as_crowd_is_left_alone(scenes: Scenes, iscrowd: object) -> None:
    content = scenes.read_json('coco.json')
    content['annotations'][0]['iscrowd'] = iscrowd
    (scenes.folder / 'coco.json').write_text(json.dumps(content))
    run(scenes, 'coco.json')
    assert scenes.read_json('out/coco.json')['annotations'][0] == content['annotations'][0]
    assert scenes.read_json('out/summary.json')['masks'][0]['reason'] == 'crowd'


@pytest.mark.parametrize('folder', ['photos', 'masks'])
def test_a_link_that_leads_in_a_circle_fails_alone(scenes: Scenes, folder: str) -> None:
    path = scenes.folder / folder / 'scene_1.png'
    path.unlink()
    path.symlink_to(path)
    report = run(scenes, 'masks')
    assert [failure['image'] for failure in report.failed] == ['scene_1.png'] and report.total['images'] == 4


@pytest.mark.parametrize('polygons', [-1, float('nan'), float('inf')])
def test_tolerances_that_are_none_are_refused_at_once(scenes: Scenes, polygons: float) -> None:
    with pytest.raises(ValueError, match='the tolerance of polygons must be a number of pixels from 0 on, got'):
        run(scenes, 'coco.json', polygons=polygons)
    assert not (scenes.folder / 'out').exists()


def test_ground_truth_of_none_of_the_masks_is_told(scenes: Scenes) -> None:
    content = scenes.read_json('truth.json')
    for annotation in content['annotations']:
        annotation['id'] += 10_000
    scenes.write_json('others.json', content)
    assert run(scenes, 'coco.json', gt=scenes.folder / 'truth.json').is_clean
    [problem] = run(scenes, 'coco.json', gt=scenes.folder / 'others.json').problems
    assert problem['image'] == 'others.json' and 'none of the masks has any there; ids' in problem['error']
