"""Files of labelling tools: what is refined comes back in its place, all else as it was, as the same masks."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mmrefine.core.brush_rle import decode_brush, encode_brush
from mmrefine.files.image_table import ImageTable
from mmrefine.jobs import format_report, refine_dataset
from mmrefine.jobs.convert import convert
from mmrefine.jobs.decide import apply_decisions, reopen
from mmrefine.jobs.formats import FormatOptions, open_masks
from mmrefine.jobs.review import write_review
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes

FORMATS = ('labelme', 'cvat', 'label-studio', 'yolo', 'arrays', 'coco', 'instances')
FILES = {'cvat': 'masks.xml', 'label-studio': 'masks.json', 'coco': 'masks.json'}


@pytest.fixture
def scenes(tmp_path):
    return Scenes(tmp_path, 2)


def all_masks(path, photos, name=None):
    """Masks and categories by image, as the format reads them."""
    source = open_masks(path, photos, format=name, options=FormatOptions())
    found = {}
    for task in source.tasks:
        coarse = source.read(task, SIZE_HW)
        found.setdefault(task.image, []).extend(
            (coarse.categories[index], coarse.mask(index)) for index in range(len(coarse))
        )
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for image in expected:
        assert len(found[image]) == len(expected[image])
        for (category, mask), (other_category, other) in zip(found[image], expected[image], strict=True):
            assert category == other_category or '' in (category, other_category) or 'object' in (category,)
            assert np.array_equal(mask, other)


@pytest.mark.parametrize('name', FORMATS)
def test_converted_there_and_back(scenes, name):
    photos, there = scenes.folder / 'photos', scenes.folder / 'there' / FILES.get(name, 'folder')
    expected = all_masks(scenes.folder / 'coco.json', photos)
    convert(scenes.folder / 'coco.json', there, to=name, images=photos)
    assert_same(all_masks(there, photos, name), expected)
    convert(there, scenes.folder / 'back.json', to='coco', source_format=name, images=photos)
    assert_same(all_masks(scenes.folder / 'back.json', photos), expected)


@pytest.mark.parametrize('name', FORMATS)
def test_what_is_refined_reads_as_the_refined_masks(scenes, name):
    photos, coarse = scenes.folder / 'photos', scenes.folder / 'there' / FILES.get(name, 'folder')
    convert(scenes.folder / 'coco.json', coarse, to=name, images=photos)
    out = scenes.folder / 'out'
    report = refine_dataset(photos, coarse, out, model=BrightRefiner(), format=name, progress=False)
    assert report.total['accepted'] == 4 and report.is_clean
    refined = all_masks(out / (coarse.name if name in FILES else 'masks'), photos, name)
    for number, image in enumerate(scenes.names):
        assert all(
            np.array_equal(mask, true)
            for (_, mask), true in zip(refined[f'{image}.png'], scenes.true[number], strict=True)
        )


@pytest.mark.parametrize('name', FORMATS)
def test_what_is_kept_stays_to_the_byte(scenes, name):
    photos, coarse = scenes.folder / 'photos', scenes.folder / 'there' / FILES.get(name, 'folder')
    convert(scenes.folder / 'coco.json', coarse, to=name, images=photos)
    model = BrightRefiner(gate=dict(min_score=2.0))
    refine_dataset(photos, coarse, scenes.folder / 'out', model=model, format=name, progress=False)
    before, after = (
        all_masks(coarse, photos, name),
        all_masks(scenes.folder / 'out' / (coarse.name if name in FILES else 'masks'), photos, name),
    )
    assert_same(after, before)


@pytest.mark.parametrize('name', [*FORMATS, 'polygons'])
def test_ground_truth_page_and_decisions_of_each_format(scenes, name):
    photos, polygons, kind = scenes.folder / 'photos', None, name
    if name == 'polygons':
        polygons, kind = 0.25, 'coco'
    coarse, truth = (scenes.folder / side / FILES.get(kind, 'folder') for side in ('coarse', 'true'))
    convert(scenes.folder / 'coco.json', coarse, to=kind, images=photos, polygons=polygons)
    convert(scenes.folder / 'truth.json', truth, to=kind, images=photos, polygons=polygons)
    out, model = scenes.folder / 'out', BrightRefiner(gate=dict(min_score=0.67))
    report = refine_dataset(photos, coarse, out, model=model, format=kind, gt=truth, progress=False)
    assert report.is_clean and len(report.masks) == 4
    assert all(
        entry['refined']['iou'] == (1 if entry['accepted'] else entry['coarse']['iou']) for entry in report.masks
    )
    assert 0 < report.total['accepted'] < 4, 'the gate must keep some, so that there is something to decide'
    assert write_review(out).read_text(encoding='utf-8').count('"iou": [') == 4

    keys = [task.key for task in reopen(out).work.tasks]
    after = apply_decisions(out, {key: {0: True, 1: True} for key in keys})
    assert after.total['accepted'] == 4 and after.total['measures']['refined/iou'] == 1
    refined = all_masks(out / (coarse.name if kind in FILES else 'masks'), photos, kind)
    for number, image in enumerate(scenes.names):
        assert np.array_equal([mask for _, mask in refined[f'{image}.png']], scenes.true[number])


@pytest.mark.parametrize('name', FORMATS)
def test_ground_truth_of_another_format_is_refused(scenes, name):
    photos, coarse = scenes.folder / 'photos', scenes.folder / 'coarse' / FILES.get(name, 'folder')
    convert(scenes.folder / 'coco.json', coarse, to=name, images=photos)
    other, kind = (scenes.folder / 'true', 'labelme') if name != 'labelme' else (scenes.folder / 'true.xml', 'cvat')
    convert(scenes.folder / 'truth.json', other, to=kind, images=photos)
    with pytest.raises(ValueError, match='ground truth must have the format of the masks'):
        refine_dataset(
            photos, coarse, scenes.folder / 'out', model=BrightRefiner(), format=name, gt=other, progress=False
        )


def png_text(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, 'PNG')
    return base64.b64encode(buffer.getvalue()).decode()


def test_labelme_keeps_everything_else_and_its_groups(scenes):
    box = {'label': 'left', 'points': [[7, 7], [24, 18]], 'shape_type': 'rectangle', 'note': 'größe', 'flags': {}}
    halves = [
        {'label': 'left', 'points': [[7, 7], [15, 7], [15, 18], [7, 18]], 'group_id': 5, 'shape_type': 'polygon'},
        {'label': 'left', 'points': [[15, 7], [24, 7], [24, 18], [15, 18]], 'group_id': 5, 'shape_type': 'polygon'},
    ]
    drawn = {
        'label': 'right',
        'points': [[37, 10], [53, 28]],
        'shape_type': 'mask',
        'mask': png_text(np.ones((19, 17))),
    }
    broken = {'label': 'right', 'points': [[1, 2]], 'shape_type': 'polygon'}
    content = {
        'version': '5.5.0', 'flags': {'checked': True}, 'shapes': [box, *halves, drawn, broken], 'imageData': None,
        'imagePath': '..\\scene_0.png', 'imageHeight': SIZE_HW[0], 'imageWidth': SIZE_HW[1], 'by': 'Zoë',
    }  # fmt: skip
    folder = scenes.folder / 'labelme'
    folder.mkdir()
    (folder / 'scene_0.json').write_text(json.dumps(content), encoding='utf-8')
    report = refine_dataset(
        scenes.folder / 'photos', folder, scenes.folder / 'out', model=BrightRefiner(), progress=False
    )
    after = json.loads((scenes.folder / 'out/masks/scene_0.json').read_text(encoding='utf-8'))
    assert {**after, 'shapes': 0} == {**content, 'shapes': 0}
    first, left, right, last = after['shapes']
    assert (first, last) == (box, broken)
    assert left['group_id'] == 5 and sorted(map(tuple, left['points'])) == [(5, 6), (5, 20), (25, 6), (25, 20)]
    assert right['points'] == [[35, 8], [54, 29]]
    assert [problem['mask'] for problem in report.problems] == [4]
    # A box is no mask: it is not among those that are counted.
    assert report.total['masks'] == 3 and report.total['left_alone'] == {'rectangle': 1}
    assert report.total['kept_for'] == {'could not be used': 1}
    assert format_report(report).endswith('1 shape was left unchanged: rectangle 1.')


def test_cvat_keeps_comments_attributes_and_other_shapes(scenes):
    text = """<?xml version="1.0" encoding="utf-8"?>
<annotations><!-- of Tuesday --><version>1.1</version><meta><task><name>größe</name></task></meta>
<image id="0" name="scene_0.png" width="60" height="40"><tag label="day" source="manual"/>
<box label="left" xtl="5" ytl="6" xbr="25" ybr="20"/>
<polygon label="left" occluded="1" points="7.0,7.0;24.0,7.0;24.0,18.0;7.0,18.0" z_order="2">
<attribute name="colour">red</attribute></polygon></image></annotations>"""
    path = scenes.folder / 'annotations.xml'
    path.write_text(text, encoding='utf-8')
    refine_dataset(scenes.folder / 'photos', path, scenes.folder / 'out', model=BrightRefiner(), progress=False)
    after = (scenes.folder / 'out/annotations.xml').read_text(encoding='utf-8')
    assert '<!-- of Tuesday -->' in after
    before, after = ET.fromstring(text), ET.fromstring(after)
    points = after.find('image/polygon').attrib.pop('points')
    before.find('image/polygon').attrib.pop('points')
    assert ET.tostring(before) == ET.tostring(after)
    assert {tuple(map(float, point.split(','))) for point in points.split(';')} == {(5, 6), (5, 20), (25, 6), (25, 20)}


def test_cvat_refuses_entities(scenes):
    path = scenes.folder / 'annotations.xml'
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations><image name="&b;"/></annotations>')
    with pytest.raises(ValueError, match='cannot be read as XML'):
        open_masks(path, scenes.folder / 'photos')


def test_label_studio_names_and_fields(scenes):
    polygon = {
        'id': 'p', 'type': 'polygonlabels', 'from_name': 'a', 'to_name': 'b', 'origin': 'manual', 'score': 0.5,
        'original_width': 60, 'original_height': 40, 'image_rotation': 0,
        'value': {'points': [[7 / 0.6, 7 / 0.4], [24 / 0.6, 7 / 0.4], [24 / 0.6, 18 / 0.4], [7 / 0.6, 18 / 0.4]],
                  'closed': True, 'polygonlabels': ['left']},
    }  # fmt: skip
    choice = {'id': 'c', 'type': 'choices', 'value': {'choices': ['good']}}
    task = {
        'id': 7, 'data': {'image': '/data/upload/1/0a1b2c3d-scene_0.png', 'note': 'x'}, 'meta': {'k': 1},
        'annotations': [{'id': 1, 'completed_by': 3, 'result': [polygon, choice]}], 'predictions': [],
    }  # fmt: skip
    path = scenes.write_json('tasks.json', [task])
    refine_dataset(scenes.folder / 'photos', path, scenes.folder / 'out', model=BrightRefiner(), progress=False)
    [after] = json.loads((scenes.folder / 'out/tasks.json').read_text())
    new = after['annotations'][0]['result'][0]['value']
    assert np.allclose(
        sorted(np.array(new['points']).round(6).tolist()),
        sorted([[5 / 0.6, 6 / 0.4], [25 / 0.6, 6 / 0.4], [25 / 0.6, 20 / 0.4], [5 / 0.6, 20 / 0.4]]),
    )
    after['annotations'][0]['result'][0]['value'] = {**polygon['value']}
    assert after == task


def test_yolo_keeps_scores_boxes_and_names(scenes):
    folder = scenes.folder / 'yolo'
    folder.mkdir()
    (folder / 'classes.txt').write_text('left\nright\n')
    ring = ' '.join(f'{x / 60:.6f} {y / 40:.6f}' for x, y in ((7, 7), (24, 7), (24, 18), (7, 18)))
    (folder / 'scene_0.txt').write_text(f'1 0.5 0.5 0.2 0.2\r\n0 {ring} 0.875\r\n')
    report = refine_dataset(
        scenes.folder / 'photos', folder, scenes.folder / 'out', model=BrightRefiner(), progress=False
    )
    box, line, end = (scenes.folder / 'out/masks/scene_0.txt').read_bytes().split(b'\r\n')
    assert box == b'1 0.5 0.5 0.2 0.2' and end == b''
    words = line.split()
    assert (words[0], words[-1]) == (b'0', b'0.875')
    points = np.array(words[1:-1], float).reshape(-1, 2) * (60, 40)
    assert np.allclose(sorted(points.tolist()), [[5, 6], [5, 20], [25, 6], [25, 20]], atol=1e-4)
    assert [entry['category'] for entry in report.masks] == ['left']


def test_arrays_keep_type_shape_and_neighbours(scenes):
    folder = scenes.folder / 'arrays'
    folder.mkdir()
    probabilities = scenes.coarse[0] * 0.75
    np.savez(folder / 'scene_0.npz', masks=probabilities.astype(np.float16), boxes=np.arange(4), labels=[3, 4])
    np.save(folder / 'scene_1.npy', scenes.coarse[1, 0].astype(np.uint8) * 255)
    refine_dataset(scenes.folder / 'photos', folder, scenes.folder / 'out', model=BrightRefiner(), progress=False)
    after = np.load(scenes.folder / 'out/masks/scene_0.npz')
    assert sorted(after.files) == ['boxes', 'labels', 'masks'] and after['boxes'].tolist() == [0, 1, 2, 3]
    assert after['masks'].dtype == np.float16 and np.array_equal(after['masks'], scenes.true[0])
    single = np.load(scenes.folder / 'out/masks/scene_1.npy')
    assert single.dtype == np.uint8 and np.array_equal(single, scenes.true[1, 0] * 255)


def test_arrays_of_grey_levels_are_cut_as_png_files_are(scenes):
    """Eight bits hold probabilities, sixteen bits 0 and 65535; what comes back has the same foreground."""
    folder = scenes.folder / 'arrays'
    folder.mkdir()
    grey = np.where(scenes.coarse[0], 200, 90).astype(np.uint8)
    np.save(folder / 'scene_0.npy', grey)
    np.save(folder / 'scene_1.npy', scenes.coarse[1].astype(np.uint16) * 65535)
    photos, out = scenes.folder / 'photos', scenes.folder / 'out'
    report = refine_dataset(photos, folder, out, model=BrightRefiner(), progress=False)
    assert report.is_clean and report.total['accepted'] == 4
    for number, level in ((0, 255), (1, 65535)):
        after = np.load(out / f'masks/scene_{number}.npy')
        assert np.array_equal(after, scenes.true[number] * level)


def test_objects_are_not_unpickled(scenes):
    folder = scenes.folder / 'arrays'
    folder.mkdir()
    np.save(folder / 'scene_0.npy', np.array([{}], object), allow_pickle=True)
    np.save(folder / 'scene_1.npy', scenes.coarse[1])
    report = refine_dataset(
        scenes.folder / 'photos', folder, scenes.folder / 'out', model=BrightRefiner(), progress=False
    )
    [failure] = report.failed
    assert 'without pickle' in failure['error'] and report.total['accepted'] == 2


@pytest.mark.parametrize('seed', range(3))
def test_brush_code(seed):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(37, 53)), seed)
    for mask in (noise > 0, np.zeros((3, 2), bool), np.ones((200, 300), bool)):
        assert np.array_equal(decode_brush(encode_brush(mask), mask.shape), mask)
    with pytest.raises(ValueError, match='four bytes'):
        decode_brush(encode_brush(noise > 0), (37, 54))
    with pytest.raises(ValueError, match='truncated'):
        decode_brush(encode_brush(noise > 0)[:-3], (37, 53))


def test_brush_code_literal():
    """Two bytes 0 four times and 255 four times, by hand from the description of the code."""
    mask = np.array([[False, True]])
    bits = f'{8:032b}' + '00111' + '0010' + '0011' + '0111' + '1111' + '1' + '00' + '011' + '0' * 8
    bits += '1' + '00' + '011' + '1' * 8
    bits += '0' * (-len(bits) % 8)
    assert encode_brush(mask) == [int(bits[index : index + 8], 2) for index in range(0, len(bits), 8)]


def test_convert_refuses_what_is_there(scenes):
    (scenes.folder / 'there.json').write_text('mine')
    with pytest.raises(ValueError, match='already exists; choose another OUT'):
        convert(scenes.folder / 'coco.json', scenes.folder / 'there.json', images=scenes.folder / 'photos')
    assert (scenes.folder / 'there.json').read_text() == 'mine'
    with pytest.raises(ValueError, match='--to'):
        convert(scenes.folder / 'coco.json', scenes.folder / 'there', images=scenes.folder / 'photos')


def test_convert_without_images_takes_sizes_from_the_file(scenes):
    convert(scenes.folder / 'coco.json', scenes.folder / 'there', to='labelme')
    assert_same(
        all_masks(scenes.folder / 'there', scenes.folder / 'photos'),
        all_masks(scenes.folder / 'coco.json', scenes.folder / 'photos'),
    )
    assert ImageTable(scenes.folder / 'photos').names.keys() == {f'{name}.png' for name in scenes.names}


def test_coco_polygons_keep_holes_parts_and_what_is_kept(scenes):
    content = scenes.read_json('coco.json')
    square = [[7.0, 7.0, 24.0, 7.0, 24.0, 18.0, 7.0, 18.0]]
    content['annotations'][0]['segmentation'] = square
    path = scenes.write_json('polygons.json', content)
    job = dict(model=BrightRefiner(), polygons=0.25, progress=False)
    refine_dataset(scenes.folder / 'photos', path, scenes.folder / 'out', **job)
    after = json.loads((scenes.folder / 'out/polygons.json').read_text())['annotations']
    assert sorted(zip(after[0]['segmentation'][0][::2], after[0]['segmentation'][0][1::2], strict=True)) == [
        (5, 6), (5, 20), (25, 6), (25, 20)
    ]  # fmt: skip
    assert all(isinstance(record['segmentation'], list) for record in after)
    job['model'] = BrightRefiner(gate=dict(min_score=2.0))
    refine_dataset(scenes.folder / 'photos', path, scenes.folder / 'kept', **job)
    assert json.loads((scenes.folder / 'kept/polygons.json').read_text()) == content
    with pytest.raises(ValueError, match='COCO files'):
        refine_dataset(scenes.folder / 'photos', scenes.folder / 'masks', scenes.folder / 'png', **job)


NOTHING = object()
VALUES = (
    NOTHING,
    None,
    5,
    'x',
    [],
    [5],
    [[1, 2]],
    [['a', 'b']] * 3,
    [[1, None]] * 3,
    [[1, 2, 3]] * 3,
    {'a': 1},
    [1e999] * 9,
)
# Of a shape of each format: what holds its points, and its values.
PLACES = {
    'labelme': (('shapes', 0), ('points', 'mask')),
    'label-studio': ((0, 'predictions', 0, 'result', 0), ('value',)),
    'label-studio value': ((0, 'predictions', 0, 'result', 0, 'value'), ('rle', 'points')),
}


@pytest.mark.parametrize('value', VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize('kind', ['polygon', 'mask'])
@pytest.mark.parametrize('place', PLACES)
def test_a_damaged_shape_says_what_is_expected_in_words(scenes, place, kind, value):
    """Not in those of Python; its neighbour can be read."""
    photos, name = scenes.folder / 'photos', place.split()[0]
    there = scenes.folder / 'there' / FILES.get(name, 'folder')
    convert(scenes.folder / 'coco.json', there, to=name, images=photos)
    path = there / 'scene_0.json' if there.is_dir() else there
    content = json.loads(path.read_text())
    (*steps, last), fields = PLACES[place]
    shapes = content
    for step in steps:
        shapes = shapes[step]
    shape = shapes[last]
    if name == 'labelme':
        shape['shape_type'] = kind
    elif place == name:
        shape['type'] = 'brushlabels' if kind == 'mask' else 'polygonlabels'
    else:
        content[0]['predictions'][0]['result'][0]['type'] = 'brushlabels' if kind == 'mask' else 'polygonlabels'
    for field in fields:
        if value is NOTHING:
            shape.pop(field, None)
        else:
            shape[field] = value
    path.write_text(json.dumps(content))
    _assert_first_is_refused(there, photos, name)


@pytest.mark.parametrize(
    'value', [None, '', 'x', '1,2', '1,2;3', '1,2;a,b;3,4', '1,nan;2,3;4,5', '1e999,1;2,3;3,4', '-1']
)
@pytest.mark.parametrize('shape', ['polygon', 'mask'])
@pytest.mark.parametrize('field', ['points', 'rle', 'left', 'width'])
def test_a_damaged_shape_in_xml(scenes, shape, field, value):
    if (shape == 'polygon') != (field == 'points') or (field, value) == ('left', '-1'):
        return
    photos, there = scenes.folder / 'photos', scenes.folder / 'there/masks.xml'
    convert(scenes.folder / 'coco.json', there, to='cvat', images=photos)
    tree = ET.parse(there)
    element = tree.getroot().find('image')[0]
    element.tag = shape
    element.attrib.pop(field, None)
    if value is not None:
        element.set(field, value)
    tree.write(there)
    _assert_first_is_refused(there, photos, 'cvat')


def _assert_first_is_refused(path, photos, name):
    source = open_masks(path, photos, format=name, options=FormatOptions())
    coarse = source.read(source.tasks[0], SIZE_HW)
    with pytest.raises(ValueError) as error:
        coarse.mask(0)
    assert not re.search(
        r'[A-Za-z]Error|NoneType|object|array|numpy|literal|subscript|unpack|argument', str(error.value)
    )
    assert coarse.mask(1).any()


def test_arrays_by_name(scenes):
    """As ``np.savez(file, dog=…, cat=…)`` or ``np.savez(file, *masks)`` leaves them."""
    (scenes.folder / 'arrays').mkdir()
    for name, masks in zip(scenes.names, scenes.coarse, strict=True):
        np.savez(scenes.folder / f'arrays/{name}.npz', left=masks[0] * np.uint8(255), right=masks[1] * np.uint8(255))
    found = all_masks(scenes.folder / 'arrays', scenes.folder / 'photos')
    assert [category for category, _ in found['scene_0.png']] == ['left', 'right']
    refine_dataset(
        scenes.folder / 'photos', scenes.folder / 'arrays', scenes.folder / 'out', model=BrightRefiner(), progress=False
    )
    for number, name in enumerate(scenes.names):
        with np.load(scenes.folder / f'out/masks/{name}.npz') as arrays:
            assert arrays.files == ['left', 'right'] and arrays['left'].dtype == np.uint8
            assert np.array_equal([arrays['left'], arrays['right']], scenes.true[number] * 255)
    np.savez(scenes.folder / 'arrays/scene_0.npz', image=np.zeros((40, 60, 3)), left=scenes.coarse[0, 0])
    with pytest.raises(ValueError, match='must contain masks under "masks", or a mask .H, W. under each name'):
        all_masks(scenes.folder / 'arrays', scenes.folder / 'photos')


def test_labelme_files_with_another_name_than_their_image(scenes):
    convert(scenes.folder / 'coco.json', scenes.folder / 'labelme', to='labelme', images=scenes.folder / 'photos')
    (scenes.folder / 'labelme/scene_1.json').rename(scenes.folder / 'labelme/second version.json')
    expected = all_masks(scenes.folder / 'coco.json', scenes.folder / 'photos')
    assert_same(all_masks(scenes.folder / 'labelme', scenes.folder / 'photos'), expected)


def test_yolo_names_above_a_split(scenes):
    """data.yaml beside images/ and labels/, whose subfolders are splits."""
    labels = scenes.folder / 'labels_of/train'
    convert(scenes.folder / 'coco.json', labels, to='yolo', images=scenes.folder / 'photos')
    (labels / 'classes.txt').unlink()
    (scenes.folder / 'data.yaml').write_text('train: images/train\nnames:\n  0: left\n  1: right\n')
    found = all_masks(labels, scenes.folder / 'photos')
    assert [category for category, _ in found['scene_1.png']] == ['left', 'right']


def test_exports_of_another_kind_say_which_is_needed(scenes):
    tracks = '<annotations><version>1.1</version><track id="0" label="a"><mask frame="0"/></track></annotations>'
    (scenes.folder / 'tracks.xml').write_text(tracks)
    minimal = [{'image': '/data/upload/1/scene_0.png', 'id': 1, 'tag': [{'rle': [0], 'format': 'rle'}], 'annotator': 1}]
    for path, text in (
        (scenes.folder / 'tracks.xml', 'holds tracks of a video; export it from CVAT as "CVAT for images 1.1"'),
        (scenes.write_json('min.json', minimal), 'JSON-MIN export of Label Studio, which lacks fields; export it as'),
    ):
        with pytest.raises(ValueError, match=text):
            all_masks(path, scenes.folder / 'photos')


def test_masks_that_a_tool_marked_as_crowds(scenes):
    """Datumaro and supervision write iscrowd=1 with every RLE."""
    content = scenes.read_json('coco.json')
    for item in content['annotations']:
        item['iscrowd'] = 1
    path, job = scenes.write_json('crowds.json', content), dict(model=BrightRefiner(), progress=False)
    kept = refine_dataset(scenes.folder / 'photos', path, scenes.folder / 'kept', **job)
    assert kept.total['accepted'] == 0 and json.loads((scenes.folder / 'kept/crowds.json').read_text()) == content
    report = refine_dataset(scenes.folder / 'photos', path, scenes.folder / 'out', crowds=True, **job)
    assert report.total['accepted'] == 4
    refined = all_masks(scenes.folder / 'out/crowds.json', scenes.folder / 'photos')
    for number, name in enumerate(scenes.names):
        assert np.array_equal([mask for _, mask in refined[f'{name}.png']], scenes.true[number])
    after = json.loads((scenes.folder / 'out/crowds.json').read_text())
    assert all(item['iscrowd'] == 1 for item in after['annotations'])
    assert len(convert(path, scenes.folder / 'left_out.json')['problems']) == 4
    assert convert(path, scenes.folder / 'masks.json', crowds=True)['problems'] == []
    with pytest.raises(ValueError, match='crowds needs COCO files'):
        refine_dataset(scenes.folder / 'photos', scenes.folder / 'masks', scenes.folder / 'png', crowds=True, **job)
