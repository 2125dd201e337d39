"""Datasets from COCO files and folders, and endless seeded mixtures."""

from __future__ import annotations

import json
import logging
import unicodedata

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from PIL import Image
from pycocotools import mask as coco_mask
from torch.utils.data import DataLoader

from mmrefine.datasets import CocoMaskDataset, MaskFolderDataset, MixtureDataset, SequentialShareSampler
from mmrefine.datasets.skipped_samples import SkippedSamples
from mmrefine.registry import DATASETS, TRANSFORMS  # noqa: F401

LOAD = [{'type': 'mmrefine.LoadRGBImage'}, {'type': 'mmrefine.LoadTrueMasks'}]
TRAIN = [
    *LOAD,
    {'type': 'mmrefine.ObjectWindow', 'max_side': 64, 'min_side': 4},
    {'type': 'mmrefine.SimulateCoarseMasks'},
    {'type': 'mmrefine.CoarseMaskCrop', 'size': 32},
    {'type': 'mmrefine.RandomMaskFlip'},
    {'type': 'mmrefine.PhotometricJitter'},
    {'type': 'mmrefine.PackRefineInputs', 'tensors': True},
]


@pytest.fixture
def coco(tmp_path):
    """Two images; a polygon, an RLE, an uncompressed RLE, a crowd, a tiny annotation. Returns file and masks."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 60, 80), bool)
    masks[0, 10:30, 10:40] = True
    masks[1, 20:55, 30:70] = True
    masks[2, 5:50, 5:25] = True
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    rle = coco_mask.encode(np.asfortranarray(masks[1].astype(np.uint8)))
    flat = masks[2].ravel(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    annotations = [
        {'id': 7, 'image_id': 1, 'segmentation': [[10, 10, 40, 10, 40, 30, 10, 30]], 'area': 600},
        {'id': 8, 'image_id': 1, 'segmentation': {'size': [60, 80], 'counts': rle['counts'].decode()}, 'area': 1400},
        {'id': 9, 'image_id': 2, 'segmentation': {'size': [60, 80], 'counts': counts}, 'area': 900},
        {'id': 10, 'image_id': 2, 'segmentation': {'size': [60, 80], 'counts': counts}, 'area': 900, 'iscrowd': 1},
        {'id': 11, 'image_id': 2, 'segmentation': [[0, 0, 2, 0, 2, 2]], 'area': 2},
    ]
    for index, annotation in enumerate(annotations):
        annotation.setdefault('iscrowd', 0)
        annotation['category_id'] = index
    images = [{'id': i + 1, 'file_name': f'{n}.png', 'height': 60, 'width': 80} for i, n in enumerate('ab')]
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': []}))
    return path, masks


def coco_dataset(path, **kwargs) -> CocoMaskDataset:
    return CocoMaskDataset(ann_file=str(path), data_prefix={'img': str(path.parent)}, **{'pipeline': LOAD, **kwargs})


def test_one_sample_per_object(coco):
    path, masks = coco
    dataset = coco_dataset(path, min_area=10)
    assert len(dataset) == 3
    for index in range(3):
        np.testing.assert_array_equal(dataset[index]['gt_masks'][0], masks[index])
        assert dataset[index]['source'] == 'mine'


def test_one_sample_per_image(coco):
    path, masks = coco
    dataset = coco_dataset(path, per='image', min_area=10, source='ours')
    assert len(dataset) == 2
    np.testing.assert_array_equal(dataset[0]['gt_masks'], masks[:2])
    assert dataset[0]['labels'].tolist() == [0, 1] and dataset[0]['source'] == 'ours'
    assert dataset[1]['gt_masks'].shape == (1, 60, 80)


def test_lvis_files_name_images_by_url(coco):
    path, _ = coco
    content = json.loads(path.read_text())
    for image in content['images']:
        image['coco_url'] = f'http://images.cocodataset.org/{path.parent.name}/{image.pop("file_name")}'
    path.write_text(json.dumps(content))
    dataset = CocoMaskDataset(ann_file=str(path), data_prefix={'img': str(path.parent.parent)}, pipeline=LOAD)
    assert dataset[0]['img'].shape == (60, 80, 3)


def test_wrong_files_and_options_are_named(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('[]')
    with pytest.raises(ValueError, match='is not a COCO annotation file: expected keys "images" and "annotations"'):
        coco_dataset(path)
    with pytest.raises(ValueError, match="per must be 'object' or 'image', got 'mask'"):
        coco_dataset(path, per='mask')


def test_folders(tmp_path):
    for kind in ('images/sub', 'masks/sub'):
        (tmp_path / kind).mkdir(parents=True)
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 6:20] = 255
    cv2.imwrite(str(tmp_path / 'images/sub/x.jpg'), np.full((20, 30, 3), 80, np.uint8))
    cv2.imwrite(str(tmp_path / 'masks/sub/x.png'), mask)
    prefix = {'img': str(tmp_path / 'images'), 'mask': str(tmp_path / 'masks')}
    dataset = MaskFolderDataset(data_prefix=prefix, pipeline=LOAD)
    assert len(dataset) == 1
    np.testing.assert_array_equal(dataset[0]['gt_masks'][0], mask > 0)
    cv2.imwrite(str(tmp_path / 'masks/sub/x.png'), mask // 255)
    np.testing.assert_array_equal(dataset[0]['gt_masks'][0], mask > 0)
    cv2.imwrite(str(tmp_path / 'masks/sub/x.png'), mask.T)
    with pytest.raises(ValueError, match=r'x.jpg has no usable mask: .*x.png is 30x20 \(HxW\) but the image is 20x30'):
        dataset[0]
    (tmp_path / 'masks/sub/x.png').rename(tmp_path / 'masks/y.png')
    with pytest.raises(ValueError, match=r"got 1 images and 1 masks; without a match: \['sub/x', 'y'\]"):
        MaskFolderDataset(data_prefix=prefix, pipeline=LOAD)
    with pytest.raises(FileNotFoundError, match=r"data_prefix\['mask'\] must be a folder"):
        MaskFolderDataset(data_prefix={**prefix, 'mask': str(tmp_path / 'nowhere')}, pipeline=LOAD)


def test_names_of_folders_match_as_those_of_jobs_do(tmp_path):
    """Composed and decomposed letters are one name; two files of a name are not guessed from."""
    for folder, name in (('images', unicodedata.normalize('NFD', 'größe.jpg')), ('masks', 'größe.png')):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(tmp_path / folder / name)
    prefix = {'img': str(tmp_path / 'images'), 'mask': str(tmp_path / 'masks')}
    assert len(MaskFolderDataset(data_prefix=prefix, pipeline=LOAD)) == 1
    (tmp_path / 'images/größe.png').write_bytes((tmp_path / 'masks/größe.png').read_bytes())
    with pytest.raises(ValueError, match='have the same name without suffix; keep one of them, or give the suffixes'):
        MaskFolderDataset(data_prefix=prefix, pipeline=LOAD)
    chosen = MaskFolderDataset(data_prefix=prefix, pipeline=LOAD, suffixes={'img': '.png'})
    assert chosen[0]['img_path'].endswith('größe.png')


@pytest.fixture
def given(tmp_path):
    """Folders of four images with masks; three have a coarse mask: soft, good and wrong. Returns their prefixes."""
    for folder in ('images', 'masks', 'coarse'):
        (tmp_path / folder).mkdir()
    gt = np.zeros((20, 30), np.uint8)
    gt[5:15, 5:25] = 255
    soft = np.where(gt > 0, 120, 0).astype(np.uint8)
    soft[7:13, 7:23] = 160
    for name, coarse in {'soft': soft, 'good': gt, 'wrong': 255 - gt, 'without': None}.items():
        cv2.imwrite(str(tmp_path / f'images/{name}.jpg'), np.full((20, 30, 3), 80, np.uint8))
        cv2.imwrite(str(tmp_path / f'masks/{name}.png'), gt)
        if coarse is not None:
            cv2.imwrite(str(tmp_path / f'coarse/{name}.png'), coarse)
    return {
        role: str(tmp_path / folder) for role, folder in (('img', 'images'), ('mask', 'masks'), ('coarse', 'coarse'))
    }


def test_given_coarse_masks(given):
    dataset = MaskFolderDataset(data_prefix=given, pipeline=[*LOAD, {'type': 'mmrefine.PackRefineInputs'}], kind='real')
    samples = {sample.img_id: sample for sample in (item['data_samples'] for item in dataset)}
    assert samples.keys() == {'soft', 'good', 'wrong'}
    assert all(sample.kind == 'real' for sample in samples.values())
    assert samples['soft'].coarse_masks.sum() == 6 * 16  # 160 of 255 and no less
    np.testing.assert_array_equal(samples['good'].coarse_masks, samples['good'].gt_masks)
    better = MaskFolderDataset(data_prefix=given, pipeline=LOAD, min_coarse_iou=0.3)
    assert [info['img_id'] for info in better] == ['good', 'soft']
    with pytest.raises(ValueError, match='min_coarse_iou needs coarse masks'):
        MaskFolderDataset(data_prefix={role: given[role] for role in ('img', 'mask')}, min_coarse_iou=0.3)


def test_threshold_of_given_coarse_masks_follows_from_the_draw(given):
    dataset = MaskFolderDataset(data_prefix=given, pipeline=LOAD, coarse_threshold=(0.4, 0.55), seed=3)
    index = [info['img_id'] for info in dataset].index('soft')
    areas = [int(dataset.draw(index, np.random.default_rng(k))['coarse_masks'].sum()) for k in range(30)]
    # 120 / 255 is above about half of the thresholds.
    assert set(areas) == {6 * 16, 10 * 20} and 5 < areas.count(200) < 25
    assert areas == [int(dataset.draw(index, np.random.default_rng(k))['coarse_masks'].sum()) for k in range(30)]
    with pytest.raises(ValueError, match='coarse_threshold must be'):
        MaskFolderDataset(data_prefix=given, coarse_threshold=(0.6, 0.4))


def test_coarse_masks_without_images_are_named(given, tmp_path):
    (tmp_path / 'coarse/good.png').rename(tmp_path / 'coarse/god.png')
    with pytest.raises(ValueError, match=r"got 3 masks; without an image: \['god'\]"):
        MaskFolderDataset(data_prefix=given)


def test_splits_by_name_are_apart_and_complete(given):
    parts = [
        [info['img_id'] for info in MaskFolderDataset(data_prefix=given, pipeline=LOAD, split=split)]
        for split in ({'modulo': 2, 'keep': [0]}, {'modulo': 2, 'keep': [1]})
    ]
    assert sorted(parts[0] + parts[1]) == ['good', 'soft', 'wrong'] and not set(parts[0]) & set(parts[1])
    assert set(parts[0]) == {'good'}  # printf NAME | sha256sum
    with pytest.raises(ValueError, match=r'split must be a dict such as dict\(modulo=5, keep=\[0\]\)'):
        MaskFolderDataset(data_prefix=given, split={'fold': 1})


def mixture(path, **kwargs) -> MixtureDataset:
    datasets = [coco_dataset(path, per='object', min_area=10, pipeline=TRAIN) for _ in range(2)]
    return MixtureDataset(datasets, [3.0, 1.0], length=64, **kwargs)


def assert_equal_samples(first, second):
    assert (first['inputs'] == second['inputs']).all()
    assert first['data_samples'].seed == second['data_samples'].seed
    assert (first['data_samples'].coarse_masks == second['data_samples'].coarse_masks).all()


def test_a_draw_follows_from_seed_and_number_alone(coco):
    path, _ = coco
    first, again, other = mixture(path), mixture(path), mixture(path, seed=1)
    again[3]
    assert_equal_samples(first[5], again[5])
    assert first[5]['data_samples'].seed != other[5]['data_samples'].seed != first[6]['data_samples'].seed


def test_workers_change_nothing(coco):
    path, _ = coco
    batches = [
        list(
            DataLoader(
                mixture(path),
                batch_size=4,
                sampler=SequentialShareSampler(range(8)),
                num_workers=workers,
                collate_fn=pseudo_collate,
            )
        )
        for workers in (0, 2)
    ]
    assert len(batches[0]) == len(batches[1]) == 2
    for first, second in zip(*batches, strict=True):
        for one, two in zip(first['inputs'], second['inputs'], strict=True):
            assert (one == two).all()


def test_a_source_without_usable_objects_is_named(coco):
    path, _ = coco
    hopeless = [*LOAD, {'type': 'mmrefine.ObjectWindow', 'min_side': 1000}]
    dataset = MixtureDataset([coco_dataset(path, pipeline=hopeless)], [1], length=4, max_refetch=5)
    with pytest.raises(RuntimeError, match='5 consecutive samples had no usable object'):
        dataset[0]
    with pytest.raises(ValueError, match='one weight per dataset, got 1 and 2'):
        MixtureDataset([coco_dataset(path)], [1, 2])


def test_sampler_goes_on_at_a_given_iteration():
    sampler = SequentialShareSampler(range(10), start=4)
    assert list(sampler) == [4, 5, 6, 7, 8, 9] and len(sampler) == 10


@pytest.fixture
def warnings():
    """What is logged as a warning, in the process's logger."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    yield lines
    MMLogger.get_current_instance().removeHandler(handler)


BAD_RECORDS = [
    {'segmentation': [[10, 10, 40, 10, float('nan'), 30]]},
    {'segmentation': [[10, 10, 40, 10, float('inf'), 30]]},
    {'segmentation': [[1, 2]]},
    {'segmentation': {'size': [60, 80], 'counts': [3]}},
    {'segmentation': {'size': [80, 60], 'counts': [4800]}},
    {'segmentation': 'text'},
    {'segmentation': [[10, 10, 40, 10, 40, 30]], 'category_id': [1]},
    {'segmentation': [[10, 10, 40, 10, 40, 30]], 'category_id': 'cat'},
]


@pytest.mark.parametrize('bad', BAD_RECORDS, ids=lambda bad: str(list(bad.values())[-1])[:30])
def test_one_annotation_that_cannot_be_used_is_left_out_with_one_warning(coco, warnings, bad):
    path, masks = coco
    content = json.loads(path.read_text())
    content['annotations'].insert(1, {'id': 70, 'image_id': 1, 'category_id': 1, 'area': 600, **bad})
    path.write_text(json.dumps(content))
    dataset = coco_dataset(path, per='image', min_area=10)
    for _ in range(2):
        np.testing.assert_array_equal(dataset[0]['gt_masks'], masks[:2])
    assert len([line for line in warnings if 'is skipped' in line]) == 1


def test_boxes_without_a_mask_are_no_objects_and_no_mistakes(coco, warnings):
    path, masks = coco
    content = json.loads(path.read_text())
    for nothing in ({'segmentation': None}, {'segmentation': []}, {'segmentation': [[]]}, {}):
        content['annotations'].insert(0, {'id': 70, 'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 3, 4], **nothing})
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(coco_dataset(path, per='image', min_area=10)[0]['gt_masks'], masks[:2])
    assert not warnings


def test_images_and_records_without_a_name_are_left_out(coco, warnings):
    path, masks = coco
    content = json.loads(path.read_text())
    content['images'][1]['file_name'] = None
    content['annotations'] += [None, {'id': 71, 'image_id': 99, 'segmentation': [[1, 1, 9, 1, 9, 9]]}]
    path.write_text(json.dumps(content))
    dataset = coco_dataset(path, per='image', min_area=10)
    assert len(dataset) == 1 and len(dataset[0]['gt_masks']) == 2
    assert len(warnings) == 3 and 'is not a file name: a name must be a string, got null' in ''.join(warnings)


@pytest.mark.parametrize('category_id', [10**400, 1e308, -(2**63) - 1])
def test_a_category_beyond_64_bits_is_no_label(coco, category_id):
    path, _ = coco
    content = json.loads(path.read_text())
    content['annotations'][0]['category_id'] = category_id
    path.write_text(json.dumps(content))
    assert 0 in coco_dataset(path, per='image')[0]['labels']


def test_warnings_are_printable(warnings):
    SkippedSamples('images').skip('a\x1b[31m\ud800.png', 'broken.')
    assert warnings == ['a\\x1b[31m\\ud800.png is skipped: broken.']


def test_polygons_of_an_image_of_another_size_are_refused(coco):
    path, _ = coco
    content = json.loads(path.read_text())
    content['images'][0].update(height=80, width=60)
    path.write_text(json.dumps(content))
    dataset = coco_dataset(path)
    with pytest.raises(
        ValueError, match=r'is declared as 80x60 \(HxW\) but the image is 60x80; height and width are swapped: .*EXIF'
    ):
        dataset[0]
    assert dataset[1]['gt_masks'].any()  # RLE says its size itself


def test_a_broken_image_in_the_middle_is_left_out_with_a_warning(coco, warnings):
    path, _ = coco
    mixture = MixtureDataset([coco_dataset(path, min_area=10)], [1.0], seed=3)
    whole = [mixture[k]['img_id'] for k in range(20)]
    assert set(whole) == {1, 2}
    (path.parent / 'a.png').write_bytes((path.parent / 'a.png').read_bytes()[:500])
    assert [mixture[k]['img_id'] for k in range(20)] == [2] * 20
    assert [mixture[k]['gt_masks'].sum() for k in range(3)] == [mixture[k]['gt_masks'].sum() for k in range(3)]
    assert len(warnings) == 1 and 'a.png is skipped: image' in warnings[0] and 'damaged or truncated' in warnings[0]
    with pytest.raises(ValueError, match='damaged or truncated'):
        coco_dataset(path)[0]  # outside of a training nothing is replaced
    (path.parent / 'b.png').unlink()
    with pytest.raises(RuntimeError, match='100 consecutive samples had no usable object'):
        mixture[0]


def test_too_many_broken_images_end_a_training(warnings):
    skipped = SkippedSamples('images', limit=3)
    skipped.count_usable(10)
    for k in (0, 1, 2, 2, 1):
        skipped.skip(f'{k}.png', 'broken.')
    assert len(warnings) == 3
    with pytest.raises(
        RuntimeError, match='4 images cannot be used; repair the dataset. The last one is 3.png: broken'
    ):
        skipped.skip('3.png', 'broken.')
    many = SkippedSamples('images', limit=3)
    many.count_usable(1000)
    for k in range(40):  # less than a twentieth
        many.skip(f'{k}.png', 'broken.')
