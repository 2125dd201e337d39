"""Masks find their images by name or by id, in every kind of file; what does not match is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.jobs.formats import FORMATS, FormatOptions, MaskFormat, open_masks
from mmrefine.jobs.formats.base import CoarseMasks

SIZE = (4, 6)
SQUARE = [[1, 1, 4, 1, 4, 3, 1, 3]]


def touch_images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', SIZE[::-1]).save(folder / name)
    return folder


def save_masks(folder: Path, *names: str, values: np.ndarray | None = None) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(*SIZE, dtype=np.uint8) if values is None else values).save(folder / name)
    return folder


def save_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def coco(path: Path, images: dict, masks: list[tuple], **more: object) -> Path:
    """A COCO file with images {id: name} and masks (id, image_id)."""
    content = {
        'images': [{'id': key, 'file_name': name} for key, name in images.items()],
        'annotations': [{'id': key, 'image_id': image, 'segmentation': SQUARE} for key, image in masks],
        **more,
    }
    return save_json(path, content)


def results(path: Path, *image_ids: object) -> Path:
    return save_json(path, [{'image_id': image_id, 'segmentation': SQUARE} for image_id in image_ids])


def pairs(source: MaskFormat) -> list[tuple]:
    """What each task refers to and the image that was found for it."""
    root = source.images.source if source.images.source.is_dir() else source.images.source.parent
    return [
        (*task.refs, None if task.image_path is None else task.image_path.relative_to(root).as_posix())
        for task in source.tasks
    ]


def decoded(coarse: CoarseMasks) -> np.ndarray:
    return np.stack([coarse.mask(index) for index in range(len(coarse))])


# ---- PNG ----


def test_png_masks_match_by_name_with_or_without_folder_and_suffix(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', 'a.jpg', 'x/b.png', 'y/b.png', 'z/c.jpg')
    masks = save_masks(tmp_path / 'm', 'a.png', 'x/b.png', 'y/b.png', 'other/c.png')
    assert pairs(open_masks(masks, images)) == [
        ('a.png', 'a.jpg'),
        ('other/c.png', 'z/c.jpg'),
        ('x/b.png', 'x/b.png'),
        ('y/b.png', 'y/b.png'),
    ]


def test_mask_without_image_is_a_task_that_will_fail(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', 'a.jpg', 'x/b.jpg')
    masks = save_masks(tmp_path / 'm', 'a.png', 'x/b.png', 'y/b.png', 'z.png')
    assert pairs(open_masks(masks, images)) == [
        ('a.png', 'a.jpg'),
        ('x/b.png', 'x/b.jpg'),
        ('y/b.png', None),
        ('z.png', None),
    ]


def test_several_masks_of_one_image_in_folders(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', 'a.jpg')
    masks = save_masks(tmp_path / 'm', 'cat/a.png', 'dog/a.png')
    assert pairs(open_masks(masks, images)) == [('cat/a.png', 'a.jpg'), ('dog/a.png', 'a.jpg')]


def test_single_files_match_whatever_they_are_called(tmp_path: Path) -> None:
    image = touch_images(tmp_path, 'photo.jpg') / 'photo.jpg'
    mask = save_masks(tmp_path, 'mask.png') / 'mask.png'
    assert pairs(open_masks(mask, image)) == [('mask.png', 'photo.jpg')]
    assert [task.image_path for task in open_masks(results(tmp_path / 'r.json', 7, 7), image).tasks] == [image]


def test_images_that_differ_in_their_suffix_alone(tmp_path: Path) -> None:
    """One of them may be an earlier result: a mask does not choose."""
    images = touch_images(tmp_path / 'i', 'a.jpg', 'a.png')
    with pytest.raises(ValueError, match=r'a.png could belong to a.(jpg|png) or a.(png|jpg)'):
        open_masks(save_masks(tmp_path / 'm', 'a.png'), images)
    assert pairs(open_masks(coco(tmp_path / 'c.json', {1: 'a.png'}, [(1, 1)]), images)) == [(0, 'a.png')]
    touch_images(images, 'b.jpg')
    source = open_masks(save_masks(tmp_path / 'm', 'a.png', 'b.png'), images)
    assert [task.image_path for task in source.tasks] == [None, images / 'b.jpg']  # the other goes on
    assert 'a.png could belong to' in source.images.ambiguous['a.png']


def test_masks_beside_their_images(tmp_path: Path) -> None:
    folder = save_masks(touch_images(tmp_path / 'both', 'a.jpg', 'b.jpg'), 'a.png', 'b.png')
    assert pairs(open_masks(folder, folder)) == [('a.png', 'a.jpg'), ('b.png', 'b.jpg')]


def test_ambiguous_name(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', 'x/a.jpg', 'y/a.jpg')
    with pytest.raises(ValueError, match='a.png could belong to x/a.jpg or y/a.jpg; give it the folders'):
        open_masks(save_masks(tmp_path / 'm', 'a.png'), images)


def test_png_masks_are_loaded_with_the_size_of_the_image(tmp_path: Path) -> None:
    source = open_masks(save_masks(tmp_path / 'm', 'a.png'), touch_images(tmp_path / 'i', 'a.jpg'))
    coarse = source.read(source.tasks[0], SIZE)
    np.testing.assert_array_equal(decoded(coarse), np.eye(*SIZE, dtype=bool)[None])
    assert coarse.names == ['a.png']
    with pytest.raises(ValueError, match=r'a.png is 4x6 \(HxW\) but the image is 6x4; .*upright image.*EXIF'):
        source.read(source.tasks[0], SIZE[::-1])


def test_label_maps_become_regions(tmp_path: Path) -> None:
    labels = np.zeros((8, 30), np.uint8)
    labels[:, :4] = 7
    labels[:, 26:] = 7  # far from the other, so a region of its own
    labels[2:6, 12:16] = 3
    labels[:, 20] = 255
    masks = save_masks(tmp_path / 'm', 'a.png', values=labels)
    images = touch_images(tmp_path / 'i', 'a.jpg')
    source = open_masks(masks, images, options=FormatOptions(semantic=True))
    coarse = source.read(source.tasks[0], labels.shape)
    assert coarse.names == [3, 7, 7]
    np.testing.assert_array_equal(coarse.mask(0), labels == 3)
    np.testing.assert_array_equal(coarse.mask(1) | coarse.mask(2), labels == 7)
    source = open_masks(masks, images, options=FormatOptions(True, 7, None))
    assert set(source.read(source.tasks[0], labels.shape).names) == {0, 3, 255}


# ---- COCO ----


def test_annotations_match_by_file_name_and_are_grouped_by_image(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', 'a.jpg', 'sub/b.jpg', 'unused.jpg')
    file = coco(tmp_path / 'c.json', {5: 'a.jpg', 6: 'b.jpg', 7: 'gone.jpg'}, [(90, 6), (91, 5), (92, 6), (93, 7)])
    assert pairs(open_masks(file, images)) == [(0, 2, 'sub/b.jpg'), (1, 'a.jpg'), (3, None)]


def test_images_of_a_coco_file(tmp_path: Path) -> None:
    touch_images(tmp_path / 'photos', 'a.jpg', 'b.jpg')
    file = coco(tmp_path / 'c.json', {5: 'photos/a.jpg', 6: 'photos/b.jpg'}, [(90, 6), (91, 5)])
    assert pairs(open_masks(file, file)) == [(0, 'photos/b.jpg'), (1, 'photos/a.jpg')]
    assert pairs(open_masks(results(tmp_path / 'r.json', 5, 6), file)) == [(0, 'photos/a.jpg'), (1, 'photos/b.jpg')]
    bare = coco(tmp_path / 'bare.json', {5: 'a.jpg'}, [])
    source = open_masks(results(tmp_path / 'r.json', 5), bare, image_root=tmp_path / 'photos')
    assert source.tasks[0].image_path == tmp_path / 'photos/a.jpg'


def test_lvis_names_its_images_by_url(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', 'val2017/000000000139.jpg')
    url = 'http://images.cocodataset.org/val2017/000000000139.jpg'
    content = {
        'images': [{'id': 139, 'coco_url': url}],
        'annotations': [{'id': 1, 'image_id': 139, 'segmentation': SQUARE}],
    }
    assert pairs(open_masks(save_json(tmp_path / 'l.json', content), images)) == [(0, 'val2017/000000000139.jpg')]


def test_results_match_by_id_in_a_folder(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', '000000000139.jpg', 'x/17.png', 'name.jpg')
    file = results(tmp_path / 'r.json', 139, 17, 'name', 4)
    assert pairs(open_masks(file, images)) == [(0, '000000000139.jpg'), (1, 'x/17.png'), (2, 'name.jpg'), (3, None)]


def test_masks_are_loaded_with_names_and_categories(tmp_path: Path) -> None:
    content = {
        'images': [{'id': 5, 'file_name': 'a.jpg'}],
        'categories': [{'id': 2, 'name': 'cat'}],
        'annotations': [
            {'id': 90, 'image_id': 5, 'category_id': 2, 'segmentation': SQUARE},
            {'image_id': 5, 'segmentation': {'size': [4, 6], 'counts': [0, 24]}},
            {'id': 92, 'image_id': 5, 'segmentation': []},
        ],
    }
    source = open_masks(save_json(tmp_path / 'c.json', content), touch_images(tmp_path / 'i', 'a.jpg'))
    coarse = source.read(source.tasks[0], SIZE)
    assert decoded(coarse).sum(axis=(1, 2)).tolist() == [6, 24, 0]
    assert coarse.names == [90, 1, 92] and coarse.categories == ['cat', '', '']
    turned = source.read(source.tasks[0], SIZE[::-1])
    with pytest.raises(ValueError, match=r'RLE is 4x6 \(HxW\) but the image is 6x4.*EXIF'):
        turned.mask(1)


def test_empty_results_are_no_tasks(tmp_path: Path) -> None:
    assert len(open_masks(results(tmp_path / 'r.json'), touch_images(tmp_path / 'i', '1.jpg')).tasks) == 0


def test_fingerprints_change_with_the_masks_of_the_image_alone(tmp_path: Path) -> None:
    images = touch_images(tmp_path / 'i', '1.jpg', '2.jpg')

    def prints(file: Path) -> dict[str, list[str]]:
        source = open_masks(file, images)
        return {task.key: source.fingerprint(task).as_json() for task in source.tasks}

    one = prints(results(tmp_path / 'r.json', 1))
    more = results(tmp_path / 'r.json', 2, 1)
    source = open_masks(more, images)
    assert source.fingerprint(source.tasks[1]).agrees(one['1'])
    assert prints(more)['1'][0] != one['1'][0]  # the file has changed, the mask has not
    save_json(more, [{'image_id': 1, 'segmentation': [[1, 1, 4, 1, 4, 2]]}])
    source = open_masks(more, images)
    assert not source.fingerprint(source.tasks[0]).agrees(one['1'])
    masks = save_masks(tmp_path / 'm', '1.png', '2.png')
    before = prints(masks)
    save_masks(masks, '1.png', values=np.ones(SIZE, np.uint8))
    source = open_masks(masks, images)
    assert [source.fingerprint(task).agrees(before[task.key]) for task in source.tasks] == [False, True]


# ---- refusals ----


def test_unknown_image_ids_are_named(tmp_path: Path) -> None:
    """They fail as their image; only where none is known are the files a wrong pair."""
    images = touch_images(tmp_path / 'i', 'a.jpg')
    source = open_masks(coco(tmp_path / 'c.json', {1: 'a.jpg'}, [(90, 1), (91, 8), (92, 9), (93, 8)]), images)
    assert pairs(source) == [(0, 'a.jpg'), (1, 3, None), (2, None)]
    assert [task.problem.split(' of ')[0] for task in source.tasks] == [
        '',
        'image_id 8 is not among the images',
        'image_id 9 is not among the images',
    ]
    file = coco(tmp_path / 'c.json', {1: 'a.jpg'}, [(91, 8), (92, 9), (93, 8)])
    with pytest.raises(ValueError, match=r'c.json has only masks of unknown images: image_id 8, 9 not among .*c.json'):
        open_masks(file, images)
    list_file = results(tmp_path / 'r.json', *range(100, 110))
    with pytest.raises(ValueError, match=r'r.json has only masks of unknown images: .*100, 101, 102, 103, 104, … not'):
        open_masks(list_file, coco(tmp_path / 'i.json', {1: 'i/a.jpg'}, []))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'images': []}, 'neither a COCO results list nor a COCO file'),
        ('text', 'neither a COCO results list nor a COCO file'),
        ([3], r'results\[0\] must have a number or a string as "image_id", got 3'),
        ({'annotations': [], 'images': []}, 'not a COCO file with images'),
        ({'annotations': [], 'images': [{'file_name': 'a.jpg'}]}, 'images", each with an "id"'),
    ],
)
def test_json_that_is_not_of_cocos_form(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_masks(save_json(tmp_path / 'c.json', content), touch_images(tmp_path / 'i', 'a.jpg'))


def test_paths_that_are_wrong(tmp_path: Path) -> None:
    images, masks = touch_images(tmp_path / 'i', 'a.jpg'), save_masks(tmp_path / 'm', 'b.png')
    (tmp_path / 'cut.json').write_text('[{"image_id": 1, ', encoding='utf-8')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='masks .*nowhere do not exist: expected a file or a folder of masks'):
        open_masks(tmp_path / 'nowhere', images)
    with pytest.raises(FileNotFoundError, match='images .*nowhere do not exist: expected an image, a folder or a COCO'):
        open_masks(masks, tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='cut.json is not valid JSON .*truncated'):
        open_masks(tmp_path / 'cut.json', images)
    with pytest.raises(ValueError, match='empty contains no masks: expected PNG files'):
        open_masks(tmp_path / 'empty', images)
    with pytest.raises(ValueError, match='none of the images named in .*m is under .*i: looked for b.png'):
        open_masks(masks, images)
    with pytest.raises(ValueError, match='image_root needs images from a COCO file'):
        open_masks(masks, images, image_root=tmp_path)
    file = coco(tmp_path / 'c.json', {1: 'a.jpg'}, [(90, 1)])
    with pytest.raises(FileNotFoundError, match='image_root .*nowhere is not a folder'):
        open_masks(file, file, image_root=tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='semantic needs label maps in PNG files'):
        open_masks(file, images, options=FormatOptions(semantic=True))


def test_a_format_is_a_file_of_its_own() -> None:
    """Every module of the folder has registered what it holds, under a name that a user can say."""
    assert {'coco', 'png', 'label-maps', 'activation-maps'} <= FORMATS.keys()
    assert all(kind.name == name for name, kind in FORMATS.items())


def test_format_by_name(tmp_path: Path) -> None:
    images, masks = touch_images(tmp_path / 'i', 'a.jpg'), save_masks(tmp_path / 'm', 'a.png')
    assert open_masks(masks, images, format='label-maps').name == 'label-maps'
    with pytest.raises(ValueError, match="format must be one of activation-maps, arrays, coco, .*got 'cococo'"):
        open_masks(masks, images, format='cococo')
