"""Conversion between every two formats: the same masks, categories and scores, whatever is between."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from itertools import product

import numpy as np
import pytest
from PIL import Image

from mmrefine.core.rle import encode_rle
from mmrefine.jobs.convert import TARGETS, convert
from mmrefine.jobs.formats import open_masks

FILES = {'cvat': 'masks.xml', 'label-studio': 'masks.json', 'coco': 'masks.json'}
# What a format has no place for.
WITHOUT_CATEGORIES, WITHOUT_SCORES = ('instances',), ('instances', 'labelme', 'cvat', 'yolo')
SIZES_HW = {'wide.png': (13, 21), 'deep/tall.png': (24, 9), 'none.png': (8, 8)}


def masks_of(height: int, width: int) -> dict[str, np.ndarray]:
    """Masks that are hard for polygons, by their category."""
    masks = {name: np.zeros((height, width), bool) for name in ('ring', 'parts', 'touching', 'dot', 'border', 'thin')}
    masks['ring'][1:7, 1:8] = True
    masks['ring'][3:5, 3] = masks['ring'][4, 5:7] = False
    masks['parts'][0, 0] = masks['parts'][2:4, 1:3] = masks['parts'][-3:, -2:] = True
    masks['touching'][2:4, 2:4] = masks['touching'][4:6, 4:6] = masks['touching'][6, 3] = True
    masks['dot'][5, 5] = True
    masks['border'][:, -2:] = masks['border'][-1] = masks['border'][0, 3:] = True
    masks['thin'][range(8), range(8)] = masks['thin'][range(7), range(1, 8)] = True
    return masks


@pytest.fixture
def dataset(tmp_path):
    """``photos/`` and ``coco.json``; the last image has no mask."""
    content = {'images': [], 'annotations': [], 'categories': []}
    for number, (name, (height, width)) in enumerate(SIZES_HW.items()):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (width, height)).save(path)
        content['images'].append({'id': number, 'file_name': name, 'height': height, 'width': width})
        for category, mask in masks_of(height, width).items() if number < 2 else ():
            names = [known['name'] for known in content['categories']]
            if category not in names:
                content['categories'].append({'id': len(names), 'name': category})
                names.append(category)
            record = {'id': len(content['annotations']), 'image_id': number, 'category_id': names.index(category)}
            record |= {'segmentation': encode_rle(mask), 'score': 0.5 + 0.0625 * len(category)}
            content['annotations'].append(record)
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    return tmp_path


def read(path, photos, name):
    source = open_masks(path, photos, format=name)
    found = {}
    for task in source.tasks:
        with Image.open(photos / task.image) as image:
            coarse = source.read(task, image.size[::-1])
        masks = [coarse.mask(index) for index in range(len(coarse))]
        found[task.image] = list(zip(masks, coarse.categories, coarse.scores, strict=True))
    return found


@pytest.mark.parametrize(('name', 'to'), list(product(TARGETS, TARGETS)))
def test_every_pair(dataset, name, to):
    photos = dataset / 'photos'
    between = dataset / 'between' / FILES.get(name, 'folder')
    out = dataset / 'out' / FILES.get(to, 'folder')
    assert convert(dataset / 'coco.json', between, to=name, images=photos)['problems'] == []
    assert convert(between, out, to=to, source_format=name, images=photos)['problems'] == []
    found = {image: items for image, items in read(out, photos, to).items() if items}
    assert found.keys() == {'wide.png', 'deep/tall.png'}
    for image, items in found.items():
        expected = masks_of(*SIZES_HW[image])
        for (mask, category, score), (true_category, true) in zip(items, expected.items(), strict=True):
            np.testing.assert_array_equal(mask, true)
            if not {name, to} & set(WITHOUT_CATEGORIES):
                assert category == true_category
            if not {name, to} & set(WITHOUT_SCORES):
                assert score == 0.5 + 0.0625 * len(true_category)


@pytest.mark.parametrize('to', TARGETS)
@pytest.mark.parametrize('name', ['png', 'nested instances', 'probabilities', 'results', 'lvis', 'coco polygons'])
def test_every_source_to_every_target(dataset, name, to):
    """What is read beside the formats that are written."""
    photos, source = dataset / 'photos', dataset / 'source'
    content = json.loads((dataset / 'coco.json').read_text())
    expected = {image: list(masks_of(*SIZES_HW[image]).values()) for image in ('wide.png', 'deep/tall.png')}
    form = None
    if name in ('results', 'lvis'):
        source = dataset / 'source.json'
        keys = ('image_id', 'category_id', 'segmentation', 'score')
        if name == 'results':
            content = [{key: record[key] for key in keys} for record in content['annotations']]
            for record, image in product(content, (0, 1)):
                if record['image_id'] == image:
                    record['image_id'] = ['wide', 'tall'][image]
        else:
            for image in content['images']:
                image |= {'coco_url': f'http://images.org/{image.pop("file_name")}', 'neg_category_ids': [1]}
        source.write_text(json.dumps(content))
    elif name == 'coco polygons':
        source = dataset / 'source.json'
        convert(dataset / 'coco.json', source, to='coco', polygons=0.25)
    for image, masks in expected.items():
        stem = source / image[:-4]
        if name in ('png', 'nested instances'):
            for index, mask in enumerate(masks[:1] if name == 'png' else masks):
                path = stem.with_suffix('.png') if name == 'png' else stem / f'{index}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask.astype(np.uint8) * 255).save(path)
            form = None if name == 'png' else 'instances'
        elif name == 'probabilities':
            stem.parent.mkdir(parents=True, exist_ok=True)
            np.save(f'{stem}.npy', np.where(masks, 0.75, 0.25).astype(np.float16))
    if name == 'png':
        expected = {image: masks[:1] for image, masks in expected.items()}
    out = dataset / 'out' / FILES.get(to, 'folder')
    assert convert(source, out, to=to, source_format=form, images=photos)['problems'] == []
    found = {image: [mask for mask, _, _ in items] for image, items in read(out, photos, to).items() if items}
    assert found.keys() == expected.keys()
    for image, masks in expected.items():
        np.testing.assert_array_equal(found[image], masks)


def test_empty_masks_are_named_where_a_format_has_none(dataset):
    content = json.loads((dataset / 'coco.json').read_text())
    content['annotations'][0]['segmentation'] = encode_rle(np.zeros((13, 21), bool))
    (dataset / 'coco.json').write_text(json.dumps(content))
    for to in TARGETS:
        report = convert(dataset / 'coco.json', dataset / to, to=to)
        lacks = to in ('labelme', 'yolo')
        assert report['problems'] == ([f'wide.png: the mask is empty, and {to} has no empty masks'] if lacks else [])
        assert report['masks'] == 12 - lacks


def test_labelme_files_lead_to_their_images(dataset):
    """That of an image without masks too: labelme does not open a file without an image."""
    convert(dataset / 'coco.json', dataset / 'labelme', to='labelme', images=dataset / 'photos')
    files = sorted((dataset / 'labelme').rglob('*.json'))
    assert [path.stem for path in files] == ['tall', 'none', 'wide']
    for path in files:
        assert (path.parent / json.loads(path.read_text())['imagePath']).samefile(
            dataset / 'photos' / f'{path.relative_to(dataset / "labelme").with_suffix(".png")}'
        )


def test_cvat_files_list_their_labels(dataset):
    """Datumaro refuses files without."""
    convert(dataset / 'coco.json', dataset / 'masks.xml', to='cvat')
    root = ET.parse(dataset / 'masks.xml').getroot()
    assert [name.text for name in root.findall('meta/task/labels/label/name')] == list(masks_of(8, 8))
