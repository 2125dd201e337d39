"""Coarse masks loaded and refined in the pipelines of this package, MMDetection and MMSegmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from torch.utils.data import DataLoader

from mmrefine import compat
from mmrefine.core.rle import encode_rle
from mmrefine.datasets import CocoMaskDataset
from mmrefine.datasets.transforms import LoadCoarseMasks, RefineMasks
from mmrefine.models.refiners import RefineInput
from mmrefine.registry import MODELS
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes

compat.setup()
COUNT = 5


@MODELS.register_module()
class LoggedRefiner(BrightRefiner):
    """Appends a byte to the file ``calls`` in a folder for every image it refines, whatever process it is in."""

    def __init__(self, folder: str, **kwargs: object):
        super().__init__(**kwargs)
        self.log = Path(folder) / 'calls'

    def _refine_image(self, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        with open(self.log, 'ab') as file:
            file.write(b'x')
        return super()._refine_image(item)


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    """Scenes without the void column, whose COCO files have true boxes and areas."""
    scenes = Scenes(tmp_path / 'data', COUNT)
    for name in ('coco.json', 'truth.json'):
        content = scenes.read_json(name)
        for record in content['annotations']:
            record['bbox'] = [0, 0, 20, 20]
        scenes.write_json(name, content)
    return scenes


@pytest.fixture
def refine(tmp_path: Path) -> dict:
    """The refining step, with a cache and a refiner that logs."""
    model = {'type': 'LoggedRefiner', 'folder': str(tmp_path)}
    return {'type': 'mmrefine.RefineMasks', 'model': model, 'cache_dir': str(tmp_path / 'cache')}


@pytest.fixture
def num_calls(tmp_path: Path) -> Callable[[], int]:
    return lambda: (tmp_path / 'calls').stat().st_size if (tmp_path / 'calls').exists() else 0


def epoch(dataset: object, num_workers: int = 2) -> list[dict]:
    """All samples of a dataset through a DataLoader."""
    return list(DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=lambda sample: sample))


def coco_dataset(scenes: Scenes, *steps: dict, poly2mask: bool = True) -> object:
    pytest.importorskip('mmdet')
    from mmdet.registry import DATASETS

    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(
            dict(
                type='CocoDataset',
                ann_file=str(scenes.folder / 'coco.json'),
                data_prefix=dict(img=str(scenes.folder / 'photos')),
                metainfo=dict(classes=('left', 'right')),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=poly2mask),
                    *steps,
                    dict(type='PackDetInputs'),
                ],
            )
        )


def seg_dataset(scenes: Scenes, *steps: dict, load: dict | None = None) -> object:
    pytest.importorskip('mmseg')
    from mmseg.registry import DATASETS

    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(
            dict(
                type='BaseSegDataset',
                data_prefix=dict(img_path=str(scenes.folder / 'photos'), seg_map_path=str(scenes.folder / 'labels')),
                img_suffix='.png',
                metainfo=dict(classes=('ground', 'left', 'right')),
                reduce_zero_label=False,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    load or dict(type='LoadAnnotations'),
                    *steps,
                    dict(type='PackSegInputs'),
                ],
            )
        )


def masks_of(sample: dict) -> np.ndarray:
    return sample['data_samples'].gt_instances.masks.to_ndarray().astype(bool)


def test_mmdet_refines_each_image_once_in_two_epochs_of_two_workers(scenes, refine, num_calls):
    dataset = coco_dataset(scenes, {**refine, 'field': 'gt_masks'}, dict(type='RandomFlip', prob=1.0))
    first, second = epoch(dataset), epoch(dataset)
    assert num_calls() == COUNT
    for index, (sample, again) in enumerate(zip(first, second, strict=True)):
        true = scenes.true[index][:, :, ::-1]  # mirrored behind the refinement
        np.testing.assert_array_equal(masks_of(sample), true)
        np.testing.assert_array_equal(masks_of(again), true)
        boxes = sample['data_samples'].gt_instances.bboxes
        rows = np.flatnonzero(true[0].any(axis=1))
        assert boxes[0].tensor.tolist() == [[SIZE_HW[1] - 25, rows[0], SIZE_HW[1] - 5, rows[-1] + 1]]
        assert sample['data_samples'].gt_instances.labels.tolist() == [0, 1]


def test_mmdet_polygons_become_bitmaps_and_crowds_stay(scenes, refine, num_calls):
    content = scenes.read_json('coco.json')
    for record in content['annotations']:
        if record['category_id'] == 1:
            record['segmentation'] = [[7, 7, 24, 7, 24, 18, 7, 18]]
        else:
            record['iscrowd'] = 1
    scenes.write_json('coco.json', content)
    [sample, *_] = epoch(coco_dataset(scenes, {**refine, 'field': 'gt_masks'}), 0)
    np.testing.assert_array_equal(masks_of(sample), scenes.true[0, :1])
    [polygons, *_] = epoch(coco_dataset(scenes, {**refine, 'field': 'gt_masks'}, poly2mask=False), 0)
    np.testing.assert_array_equal(masks_of(polygons), scenes.true[0, :1])
    [crowd] = sample['data_samples'].ignored_instances.masks.to_ndarray().astype(bool)
    np.testing.assert_array_equal(crowd, scenes.coarse[0, 1])


def test_empty_masks_and_their_boxes_stay(scenes, refine):
    content = scenes.read_json('coco.json')
    for record in content['annotations'][:COUNT]:
        record['segmentation'] = encode_rle(np.zeros(SIZE_HW, bool))
    scenes.write_json('coco.json', content)
    [sample, *_] = epoch(coco_dataset(scenes, {**refine, 'field': 'gt_masks'}), 0)
    assert not masks_of(sample)[0].any()
    assert sample['data_samples'].gt_instances.bboxes.tensor[0].tolist() == [0, 0, 20, 20]


def test_mmseg_refines_label_maps_and_keeps_void(scenes, refine, num_calls):
    dataset = seg_dataset(scenes, {**refine, 'field': 'gt_seg_map'})
    first, second = epoch(dataset), epoch(dataset)
    assert num_calls() == COUNT
    for index, samples in enumerate(zip(first, second, strict=True)):
        for sample in samples:
            label_map = sample['data_samples'].gt_sem_seg.data[0].numpy()
            np.testing.assert_array_equal(label_map, scenes.label_map(scenes.true[index]))


def test_mmseg_ignore_band(scenes, refine):
    dataset = seg_dataset(scenes, {**refine, 'field': 'gt_seg_map', 'ignore_band': True})
    [sample, *_] = epoch(dataset, 0)
    label_map = sample['data_samples'].gt_sem_seg.data[0].numpy()
    coarse, true = scenes.label_map(scenes.coarse[0]), scenes.label_map(scenes.true[0])
    np.testing.assert_array_equal(label_map, np.where(coarse == true, true, 255))


def test_mmseg_learns_from_activation_maps(scenes, refine, num_calls):
    (scenes.folder / 'cams').mkdir()
    for name, pair in zip(scenes.names, scenes.coarse, strict=True):
        np.save(scenes.folder / f'cams/{name}.npy', {'keys': np.array([0, 1]), 'high_res': 0.8 * pair.astype('f4')})
    load = dict(type='mmrefine.LoadCoarseMasks', path=str(scenes.folder / 'cams'), kind='cams', into='gt_seg_map')
    flip = dict(type='RandomFlip', prob=1.0)
    dataset = seg_dataset(scenes, {**refine, 'field': 'gt_seg_map'}, flip, load=load)
    for _ in range(2):
        for index, sample in enumerate(epoch(dataset)):
            label_map = sample['data_samples'].gt_sem_seg.data[0].numpy()
            np.testing.assert_array_equal(label_map[:, ::-1], scenes.true[index, 0] + 2 * scenes.true[index, 1])
    assert num_calls() == COUNT


def test_mmdet_learns_from_coarse_results(scenes, refine):
    load = dict(
        type='mmrefine.LoadCoarseMasks',
        path=str(scenes.folder / 'results.json'),
        into='gt_masks',
        category_ids=[2, 1],
    )
    dataset = coco_dataset(scenes, load, {**refine, 'field': 'gt_masks'})
    [sample, *_] = epoch(dataset, 0)
    np.testing.assert_array_equal(masks_of(sample), scenes.true[0])
    assert sample['data_samples'].gt_instances.labels.tolist() == [1, 0]
    assert sample['data_samples'].gt_instances.bboxes.tensor[1].tolist() == [35, 8, 55, 30]


def own_dataset(scenes: Scenes, *steps: dict) -> CocoMaskDataset:
    with DefaultScope.overwrite_default_scope('mmrefine'):
        return CocoMaskDataset(
            ann_file=str(scenes.folder / 'truth.json'),
            data_prefix=dict(img=str(scenes.folder / 'photos')),
            per='image',
            pipeline=[
                dict(type='LoadRGBImage'),
                dict(type='LoadTrueMasks'),
                *steps,
                dict(type='PackRefineInputs'),
            ],
        )


def test_own_pipeline_simulates_and_refines(scenes, refine, num_calls):
    steps = dict(type='SimulateCoarseMasks', iou_range=(0.7, 0.9)), refine
    for sample in [*epoch(own_dataset(scenes, *steps)), *epoch(own_dataset(scenes, *steps))]:
        sample = sample['data_samples']
        assert sample.refined_masks.shape == sample.coarse_masks.shape == (2, *SIZE_HW)
        assert (sample.refined_masks != sample.coarse_masks).any()
    assert num_calls() == COUNT


@pytest.mark.parametrize('kind', ['coco', 'results', 'png', 'labels', 'cams'])
def test_kinds_of_coarse_masks(scenes, kind):
    if kind == 'cams':
        (scenes.folder / 'cams').mkdir()
        for name, pair in zip(scenes.names, scenes.coarse, strict=True):
            scores = {str(label): pair[label].astype(np.float32) for label in (0, 1)}
            np.savez(scenes.folder / f'cams/{name}.npz', **scores)
    options = {
        'coco': dict(path=scenes.folder / 'coco.json'),
        'results': dict(path=scenes.folder / 'results.json'),
        'png': dict(path=scenes.folder / 'masks'),
        'labels': dict(path=scenes.folder / 'labels', kind='labels'),
        'cams': dict(path=scenes.folder / 'cams', kind='cams'),
    }[kind]
    expected = scenes.coarse[1, :1] if kind == 'png' else scenes.coarse[1].copy()
    if kind == 'labels':
        expected[:, :, 50] = False  # void
    results = LoadCoarseMasks(**options)(sample_of(scenes, 1))
    np.testing.assert_array_equal(results['coarse_masks'], expected)
    assert results['labels'].tolist() == [1, 2][: len(expected)]


def sample_of(scenes: Scenes, index: int = 0) -> dict:
    path = scenes.folder / f'photos/{scenes.names[index]}.png'
    return {'img_path': str(path), 'img_id': 10 + index, 'img': np.array(Image.open(path))}


def test_names_may_have_folders(scenes):
    for folder, value in (('a', 0), ('b', 255)):
        (scenes.folder / 'nested' / folder).mkdir(parents=True)
        Image.fromarray(np.full(SIZE_HW, value, np.uint8)).save(scenes.folder / 'nested' / folder / 'x.png')
    load = LoadCoarseMasks(scenes.folder / 'nested')
    for folder, expected in (('a', False), ('b', True)):
        sample = {**sample_of(scenes), 'img_path': f'anywhere/{folder}/x.jpg'}
        assert (load(sample)['coarse_masks'] == expected).all()
    with pytest.raises(ValueError, match='anywhere/x.jpg has no coarse masks'):
        load({**sample_of(scenes), 'img_path': 'anywhere/x.jpg'})


def test_images_without_results_have_no_masks(scenes, refine):
    scenes.write_json('results.json', scenes.read_json('results.json')[:1])
    results = LoadCoarseMasks(scenes.folder / 'results.json')(sample_of(scenes, 4))
    assert results['coarse_masks'].shape == (0, *SIZE_HW)
    refined = RefineMasks(refine['model'])(results)
    assert refined['refined_masks'].shape == (0, *SIZE_HW) and refined['scores'].shape == (0,)


def test_results_below_a_score_are_left_out(scenes):
    records = [record for record in scenes.read_json('results.json') if record['image_id'] == 10]
    for record, score in zip(records, (0.3, 0.7), strict=True):
        record['score'] = score
    unscored = {key: value for key, value in records[0].items() if key != 'score'}
    path = scenes.write_json('results.json', [*records, unscored, {**unscored, 'score': None}])
    sample = sample_of(scenes)
    for score_thr, count in ((0.0, 4), (0.3, 4), (0.5, 3), (0.7, 3), (0.8, 2)):
        assert len(LoadCoarseMasks(path, score_thr=score_thr)(dict(sample))['coarse_masks']) == count
    with pytest.raises(ValueError, match='score_thr needs COCO results'):
        LoadCoarseMasks(scenes.folder / 'masks', score_thr=0.5)


@pytest.mark.parametrize('field', ['coarse_masks', 'gt_masks', 'gt_seg_map'])
def test_what_the_gate_took_is_in_the_sample_and_in_the_log(scenes, field, monkeypatch):
    lines = []
    monkeypatch.setattr('mmrefine.datasets.transforms.refine_masks.print_log', lambda text, **_: lines.append(text))
    step = RefineMasks({'type': 'BrightRefiner', 'gate': {'min_score': 0.68}}, field=field)
    taken = 0
    for time in range(1, 26):  # 100 masks
        index = time % COUNT
        sample = {**sample_of(scenes, index), 'coarse_masks': scenes.coarse[index], 'gt_masks': scenes.coarse[index]}
        sample['gt_seg_map'] = np.where(scenes.coarse[index, 0], 1, 2 * scenes.coarse[index, 1])
        taken += step(sample)['accepted'].sum()
    assert not lines and 0 < taken < 50
    for _ in range(25):
        taken += step(dict(sample))['accepted'].sum()
    assert lines == [f'RefineMasks: replaced {taken} of 100 masks, kept the others.']


def test_bad_coarse_masks_are_refused(scenes):
    folder = scenes.folder
    small = {**sample_of(scenes), 'img': np.zeros((20, 30, 3), np.uint8)}
    (folder / 'masks/scene_1.png').write_bytes((folder / 'masks/scene_1.png').read_bytes()[:60])
    content = scenes.read_json('coco.json')
    content['annotations'][0]['category_id'] = 77
    scenes.write_json('strange.json', content)
    (folder / 'cams').mkdir()
    np.save(folder / 'cams/scene_0.npy', {'keys': np.array([0]), 'heat': np.zeros((1, *SIZE_HW), np.float32)})
    nan = np.full((1, *SIZE_HW), np.nan, np.float32)
    np.save(folder / 'cams/scene_1.npy', {'keys': np.array([0]), 'cam': nan})
    np.save(folder / 'cams/scene_2.npy', {'keys': np.array([0]), 'cam': nan[:, :, :30]})
    for sample, options, message in (
        (small, dict(path='masks'), r'scene_0.png is 40x60 \(HxW\) but the image is 20x30; .*proportional'),
        (sample_of(scenes, 1), dict(path='masks'), 'scene_1.png cannot be decoded'),
        (sample_of(scenes, 0), dict(path='strange.json'), r'unknown categories \[77\]'),
        (
            sample_of(scenes, 0),
            dict(path='coco.json', category_ids=[1]),
            r'\[2\] that are not in category_ids',
        ),
        (sample_of(scenes, 0), dict(path='cams', kind='cams'), 'expected "keys" .* beside "high_res"'),
        (sample_of(scenes, 1), dict(path='cams', kind='cams'), 'scene_1.npy: scores contain NaN'),
        (sample_of(scenes, 2), dict(path='cams', kind='cams'), 'maps are 40x30 .* image is 40x60'),
    ):
        load = LoadCoarseMasks(**{**options, 'path': folder / options['path']})
        with pytest.raises(ValueError, match=message):
            load(dict(sample))


def test_annotations_that_cannot_be_used_are_left_out(scenes):
    """Their neighbours stay; boxes without a mask are not masks."""
    content = scenes.read_json('coco.json')
    of_first = [record for record in content['annotations'] if record['image_id'] == 10]
    expected = LoadCoarseMasks(path=scenes.folder / 'coco.json')(sample_of(scenes))
    for bad in (
        {'segmentation': [[1, 1, 9, 1, float('nan'), 9]]},
        {'segmentation': {'size': [3, 3], 'counts': [9]}},
        {'segmentation': None},
        {'category_id': {}},
    ):
        record = {**of_first[0], 'id': 5000, **bad}
        path = scenes.write_json('bad.json', {**content, 'annotations': [record, *content['annotations']]})
        found = LoadCoarseMasks(path=path)(sample_of(scenes))
        np.testing.assert_array_equal(found['coarse_masks'], expected['coarse_masks'])
        np.testing.assert_array_equal(found['labels'], expected['labels'])


def test_arguments_that_do_not_fit_are_refused(scenes):
    folder = scenes.folder
    for options, message in (
        (dict(path=folder / 'coco.json', into='gt_masks'), 'need category_ids'),
        (dict(path=folder / 'coco.json', into='gt_seg_map'), "kind must be 'labels' or 'cams'"),
        (dict(path=folder / 'coco.json', kind='cams'), "kind must be 'masks'"),
        (dict(path=folder / 'photos', kind='cams'), 'contains no activation maps'),
        (dict(path=folder / 'masks', into='elsewhere'), 'into one of'),
    ):
        with pytest.raises(ValueError, match=message):
            LoadCoarseMasks(**options)
    with pytest.raises(FileNotFoundError, match='nowhere do not exist'):
        LoadCoarseMasks(folder / 'nowhere')
    with pytest.raises(ValueError, match='field must be one of'):
        RefineMasks(field='masks')
    with pytest.raises(ValueError, match='ignore_band needs gt_seg_map'):
        RefineMasks(ignore_band=True)
    with pytest.raises(FileNotFoundError, match="unknown model 'nowhere'"):
        RefineMasks('nowhere', cache_dir=folder / 'cache')


def test_changed_images_are_refused(scenes, refine):
    step = RefineMasks(refine['model'])
    sample = {**sample_of(scenes), 'coarse_masks': scenes.coarse[0]}
    np.testing.assert_array_equal(step(dict(sample))['refined_masks'], scenes.true[0])
    for changed in (sample['img'][:, ::-1], sample['img'][:-1], np.roll(sample['img'], 5, axis=1)):
        with pytest.raises(ValueError, match='put RefineMasks before transforms that resize'):
            step({**sample, 'img': changed})
    with pytest.raises(ValueError, match='before RandomFlip'):
        step({**sample, 'flip': True})
    with pytest.raises(ValueError, match='masks must have the size of the image'):
        step({**sample, 'coarse_masks': scenes.coarse[0, :, :-1]})
    with pytest.raises(ValueError, match='expected coarse_masks in the sample'):
        step({'img_path': sample['img_path']})


def test_what_a_result_depends_on_is_in_its_key(scenes, refine, tmp_path, num_calls):
    sample = {**sample_of(scenes), 'coarse_masks': scenes.coarse[0]}
    torch.save({'threshold': torch.tensor([100.0])}, tmp_path / 'weights.pth')

    def calls(sample: dict = sample, **changes: object) -> int:
        before = num_calls()
        RefineMasks(**{**without_type(refine), **changes})(dict(sample))
        return num_calls() - before

    assert calls() == 1 and calls() == 0
    assert calls({**sample, 'coarse_masks': scenes.coarse[0, :1]}) == 1
    assert calls(model={**refine['model'], 'reach_px': 4}) == 1
    assert calls(seed=1) == 1
    assert calls(checkpoint=tmp_path / 'weights.pth') == 1 and calls(checkpoint=tmp_path / 'weights.pth') == 0
    torch.save({'threshold': torch.tensor([90.0])}, tmp_path / 'weights.pth')
    assert calls(checkpoint=tmp_path / 'weights.pth') == 1
    Image.fromarray(np.array(sample['img']) // 2 * 2 + 1).save(sample['img_path'])
    assert calls(sample_of(scenes) | {'coarse_masks': scenes.coarse[0]}) == 1


def without_type(step: dict) -> dict:
    return {key: value for key, value in step.items() if key != 'type'}


def test_damaged_entries_are_computed_again(scenes, refine, tmp_path, num_calls):
    sample = {**sample_of(scenes), 'coarse_masks': scenes.coarse[0]}
    step = RefineMasks(**without_type(refine))
    step(dict(sample))
    [entry] = (tmp_path / 'cache').rglob('*.npz')
    whole = entry.read_bytes()
    flipped = bytearray(whole)
    flipped[80] ^= 0xFF
    damaged = [b'', b'nonsense', whole[:10], whole[:100], whole[: len(whole) // 2], whole[:-1], bytes(flipped)]
    for count, content in enumerate(damaged, start=2):
        entry.write_bytes(content)
        np.testing.assert_array_equal(step(dict(sample))['refined_masks'], scenes.true[0])
        assert num_calls() == count and entry.read_bytes() == whole
    assert not list((tmp_path / 'cache').rglob('*.unfinished'))
    assert step(dict(sample))['accepted'].tolist() == [True, True]
