"""Whole jobs: kinds, order, ids and fields that stay, summary, resuming after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.apis import RefineInferencer
from mmrefine.core.rle import box_of, decode_segmentation, encode_rle
from mmrefine.jobs import image_work, shares
from mmrefine.jobs.formats import FormatOptions, open_masks
from mmrefine.jobs.records import Records
from mmrefine.jobs.report import format_report
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes, files_of, run_job


def read_png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


# ---- COCO ----


@pytest.mark.parametrize('images', ['photos', 'coco.json'])
def test_annotations_keep_order_ids_and_fields(scenes: Scenes, images: str) -> None:
    root = None if images == 'photos' else scenes.folder / 'photos'
    run_job(scenes, 'coco.json', images=scenes.folder / images, image_root=root)
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
    run_job(scenes, 'results.json', images=scenes.folder / 'coco.json', image_root=scenes.folder / 'photos')
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
    run_job(scenes, 'coco.json', model=BrightRefiner(gate={'min_score': 1.01}))
    after = scenes.read_json('out/coco.json')['annotations']
    assert after[0]['segmentation'] == encode_rle(decode_segmentation(polygon, SIZE_HW))
    assert {**after[0], 'segmentation': polygon} == content['annotations'][0]
    assert after[1:] == content['annotations'][1:]


def test_what_the_gate_kept_is_reported(scenes: Scenes) -> None:
    report = run_job(scenes, 'coco.json', model=BrightRefiner(), gate={'min_score': 1.01})
    num_masks = report.total['masks']
    assert report.total['accepted'] == 0 and report.total['kept_for'] == {'score too low': num_masks}
    assert format_report(report).endswith(
        f'{num_masks} of {num_masks} coarse masks were kept: score too low {num_masks}. '
        '--no-gate accepts every proposal, --gate min_score=none drops this condition alone.'
    )
    assert run_job(scenes, 'coco.json', 'free', model=BrightRefiner()).total['kept_for'] == {}


def test_empty_results_give_empty_results(scenes: Scenes) -> None:
    scenes.write_json('results.json', [])
    report = run_job(scenes, 'results.json')
    assert scenes.read_json('out/results.json') == []
    assert report.total['masks'] == 0 and not report.failed
    assert '0 masks' in format_report(report)


@pytest.mark.parametrize('noise', [0.0, 0.1])
def test_masks_that_do_not_fit_into_memory_together(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, noise: float
) -> None:
    """They go through the refiner one by one, with the same end."""
    run_job(scenes, 'coco.json', 'whole', model=BrightRefiner(noise=noise), pictures=None)
    refiner = BrightRefiner(noise=noise)
    monkeypatch.setattr(shares, 'MAX_BATCH_PX', SIZE_HW[0] * SIZE_HW[1])
    monkeypatch.setattr(image_work, 'MAX_BATCH_PX', SIZE_HW[0] * SIZE_HW[1])
    run_job(scenes, 'coco.json', 'split', model=refiner, pictures=None)
    assert refiner.batches == [[1]] * 10
    assert files_of(scenes.folder / 'split') == files_of(scenes.folder / 'whole')


@pytest.mark.parametrize('iscrowd', [1, True, 2, '1'])
def test_whatever_is_marked_as_crowd_is_left_alone(scenes: Scenes, iscrowd: object) -> None:
    content = scenes.read_json('coco.json')
    content['annotations'][0]['iscrowd'] = iscrowd
    (scenes.folder / 'coco.json').write_text(json.dumps(content))
    run_job(scenes, 'coco.json')
    assert scenes.read_json('out/coco.json')['annotations'][0] == content['annotations'][0]
    assert scenes.read_json('out/summary.json')['masks'][0]['reason'] == 'crowd'


# ---- PNG ----


def test_png_masks(scenes: Scenes) -> None:
    run_job(scenes, 'masks')
    written = files_of(scenes.folder / 'out/masks')
    assert sorted(written) == sorted(f'{name}.png' for name in scenes.names)
    for index, name in enumerate(scenes.names):
        np.testing.assert_array_equal(read_png(scenes.folder / f'out/masks/{name}.png'), scenes.true[index, 0] * 255)


def test_label_maps_keep_void_and_labels(scenes: Scenes) -> None:
    report = run_job(scenes, 'labels', semantic=True, gt=scenes.folder / 'true_labels')
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
        report = run_job(scenes, 'one.png', images=photo, out=split, semantic=True, split=split)
        assert [entry['mask'] for entry in report.masks] == [1]
    assert counts == {'classes': 1, 'merged': 2}
    with pytest.raises(ValueError, match="'objects'"):
        run_job(scenes, 'labels', semantic=True, split='objects')


def test_labels_that_meet_are_settled_by_score(scenes: Scenes) -> None:
    """Two labels claim one bright block; the one whose refined mask it covers better has the higher score."""
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[8:30, 35:49], labels[8:30, 49:55] = 1, 2
    Image.fromarray(labels).save(scenes.folder / 'one.png')
    report = run_job(scenes, 'one.png', images=scenes.folder / 'photos/scene_0.png', semantic=True)
    after = read_png(scenes.folder / 'out/masks/one.png')
    scores = {entry['mask']: entry['score'] for entry in report.masks}
    assert scores[1] > scores[2]
    expected = labels.copy()
    expected[8:30, 49:54] = 1  # reach of label 1's refined mask
    np.testing.assert_array_equal(after, expected)


# ---- report ----


def test_summary(scenes: Scenes) -> None:
    report = run_job(
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
    report = run_job(scenes, 'results.json', gt=scenes.folder / 'truth.json', **options)
    measured = [entry for entry in report.masks if 'refined' in entry]
    assert len(measured) == 8 and all(entry['refined']['iou'] == 1 for entry in measured)
    assert {entry['image'] for entry in report.masks if 'refined' not in entry} == {'scene_2.png'}


def test_table(scenes: Scenes) -> None:
    report = run_job(scenes, 'masks', gt=scenes.folder / 'truth')
    text = format_report(report, max_rows=3)
    lines = text.splitlines()
    assert [title in lines[0] for title in ('image', 'mask', 'area px', 'change %', 'score', 'verdict', 'IoU %')]
    assert 'scene_0.png' in text and 'scene_3.png' not in text and '… and 2 more' in text
    coarse, true = scenes.coarse[0, 0], scenes.true[0, 0]
    iou = 100 * (coarse & true).sum() / (coarse | true).sum()
    assert f'{iou:.1f} -> 100.0 (+{100 - iou:.1f})' in text
    assert 'total: 5 images' in lines[-1] and '5 accepted, 0 kept, 0 % harmed' in lines[-1]


def test_pictures_of_the_first_images(scenes: Scenes) -> None:
    run_job(scenes, 'masks', pictures=2)
    assert sorted(path.name for path in (scenes.folder / 'out/pictures').iterdir()) == ['scene_0.png', 'scene_1.png']


def test_summary_is_json_without_nan(scenes: Scenes) -> None:
    for folder in ('masks', 'truth'):
        for name in scenes.names:
            Image.new('L', SIZE_HW[::-1]).save(scenes.folder / f'{folder}/{name}.png')
    run_job(scenes, 'masks', gt=scenes.folder / 'truth')

    def refuse(constant: str) -> None:
        raise AssertionError(f'{constant} is not JSON')

    json.loads((scenes.folder / 'out/summary.json').read_text(), parse_constant=refuse)


# ---- results that depend on nothing else ----


def test_the_job_gives_what_the_inferencer_gives(scenes: Scenes) -> None:
    run_job(scenes, 'masks', model=BrightRefiner(noise=0.1), seed=3)
    inferencer = RefineInferencer(BrightRefiner(noise=0.1), seed=3)
    for index, name in enumerate(scenes.names):
        result = inferencer(scenes.folder / f'photos/{name}.png', scenes.coarse[index, :1])
        np.testing.assert_array_equal(read_png(scenes.folder / f'out/masks/{name}.png') > 0, result.masks[0])
    run_job(scenes, 'masks', 'other', model=BrightRefiner(noise=0.1), seed=4)
    assert files_of(scenes.folder / 'out/masks') != files_of(scenes.folder / 'other/masks')


def test_workers_and_batches_change_nothing(scenes: Scenes) -> None:
    refiner = BrightRefiner(noise=0.1)
    run_job(scenes, 'coco.json', 'one', model=refiner, workers=1, batch_masks=1)
    run_job(scenes, 'coco.json', 'two', model=refiner, workers=4, batch_masks=5)
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
    run_job(scenes, masks, 'unbroken', model=BrightRefiner(noise=0.1), **options)

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
            run_job(scenes, masks, 'broken', model=refiner, **options)
    assert not (scenes.folder / 'broken/summary.json').exists()
    refined_before = sum(map(len, refiner.batches))
    run_job(scenes, masks, 'broken', model=refiner, **options)
    assert files_of(scenes.folder / 'broken') == files_of(scenes.folder / 'unbroken')
    # The group in which it was interrupted is refined again, whole, since rounding may depend on the batch.
    group = 1 if masks == 'labels' else 2 if masks == 'coco.json' else 4
    assert sum(map(len, refiner.batches)) - refined_before == 9 - 3 + group - 1


def test_a_finished_job_is_not_done_again(scenes: Scenes) -> None:
    refiner = BrightRefiner()
    first = run_job(scenes, 'masks', model=refiner)
    before, batches = files_of(scenes.folder / 'out'), len(refiner.batches)
    second = run_job(scenes, 'masks', model=refiner)
    assert second.total == first.total and second.masks == first.masks
    assert len(refiner.batches) == batches and files_of(scenes.folder / 'out') == before
    assert not (scenes.folder / 'out/.job/parts').exists()


def test_another_job_in_the_same_folder_is_refused_without_overwrite(scenes: Scenes) -> None:
    run_job(scenes, 'masks')
    with pytest.raises(ValueError, match=r'contains results of a job with other settings \(seed 0, now 1\); choose'):
        run_job(scenes, 'masks', seed=1)
    run_job(scenes, 'masks', seed=1, overwrite=True)
    assert scenes.read_json('out/summary.json')['settings']['seed'] == 1
