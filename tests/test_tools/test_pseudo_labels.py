"""From a detector's results on unlabelled images to labels, as it is called from a shell."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmrefine.core.rle import decode_segmentation, encode_rle
from mmrefine.jobs import refine_dataset
from tests.helpers.bright_refiner import BrightRefiner

SIZE_HW = (40, 60)


@pytest.fixture
def job(tmp_path) -> Path:
    """Three images of a bright square; results on two of them; the refined results in ``refined/``."""
    gt = np.zeros(SIZE_HW, np.uint8)
    gt[10:30, 10:30] = 1
    for image_id in range(3):
        image = np.repeat((gt * 170 + 40)[..., None], 3, axis=2)
        cv2.imwrite(str(tmp_path / f'{image_id}.png'), image)
    images = [
        {'id': index, 'file_name': f'{index}.png', 'height': SIZE_HW[0], 'width': SIZE_HW[1]} for index in range(3)
    ]
    content = {'images': images, 'categories': [{'id': 5, 'name': 'square'}], 'annotations': []}
    (tmp_path / 'images.json').write_text(json.dumps(content))
    coarse = cv2.erode(gt, np.ones((5, 5), np.uint8)).astype(bool)
    (tmp_path / 'coarse.json').write_text(
        json.dumps(
            [
                {'image_id': image_id, 'category_id': 5, 'segmentation': encode_rle(coarse), 'score': score}
                for image_id, score in ((0, 0.9), (0, 0.4), (1, 0.4))
            ]
        )
    )
    refine(tmp_path)
    return tmp_path


def refine(folder: Path) -> None:
    refine_dataset(
        folder / 'images.json', folder / 'coarse.json', folder / 'refined', model=BrightRefiner(), progress=False
    )


@pytest.fixture
def run_tool(repo_root, monkeypatch, capsys):
    """Runs a script in this process: (exit status, standard output, standard error)."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        script = repo_root / 'tools/dataset_converters' / name
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, arguments)])
        code = None
        try:
            runpy.run_path(str(script), run_name='__main__')
        except SystemExit as exit_:
            code = exit_.code
        printed = capsys.readouterr()
        return (1, printed.out, code) if isinstance(code, str) else (code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def convert(run_tool):
    def run(folder: Path, *options: object) -> tuple[int, str, str]:
        paths = [folder / name for name in ('coarse.json', 'refined', 'images.json', 'out.json')]
        return run_tool('pseudo_labels_to_coco.py', *paths, *options)

    return run


def test_labels_ignored_objects_and_images_without_a_label(job, convert):
    status, out, _ = convert(job, '--min-score', 0.8, '--ignore-score', 0.3)
    assert status == 0 and '1 label and 1 ignored object of 3 predictions, in 1 of 3 images' in out
    content = json.loads((job / 'out.json').read_text())
    assert [image['id'] for image in content['images']] == [0]
    label, ignored = content['annotations']
    assert (label['iscrowd'], ignored['iscrowd']) == (0, 1)
    # The 16 px square of the coarse mask has become the true one of 20.
    assert label['bbox'] == [10, 10, 20, 20] and label['area'] == 400
    assert label['agreement'] == pytest.approx(256 / 400) and label['score'] == 0.9
    # BrightRefiner's quality estimate is the coarse share of the refined mask.
    assert label['weight'] == label['quality'] == pytest.approx(256 / 400, abs=1e-4)
    assert decode_segmentation(label['segmentation'], SIZE_HW).sum() == 400
    assert coco_mask.area(ignored['segmentation']) == 400


@pytest.mark.parametrize('option', ['--min-quality', '--min-agreement'])
def test_every_threshold_can_leave_nothing(job, convert, option):
    status, _, error = convert(job, '--min-score', 0.1, option, 0.7)
    assert status == 1 and 'none of 3 predictions became a label (best score 0.90)' in error
    assert not (job / 'out.json').exists()


def test_without_any_prediction(job, convert):
    (job / 'coarse.json').write_text('[]')
    (job / 'refined/coarse.json').write_text('[]')
    status, _, error = convert(job)
    assert status == 1 and 'none of 0 predictions became a label' in error


def test_images_that_could_not_be_refined_give_no_labels(job, convert):
    (job / '0.png').unlink()
    shutil.rmtree(job / 'refined')
    refine(job)
    assert convert(job, '--min-score', 0.3, '--ignore-score', 0.1)[0] == 0
    content = json.loads((job / 'out.json').read_text())
    assert [annotation['image_id'] for annotation in content['annotations']] == [1]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'category_id': 6}, 'category_id 6, which is out of range'),
        ({'image_id': 9}, 'image_id 9, which is not in IMAGES'),
        ({'score': None}, 'needs "score"'),
    ],
)
def test_results_that_do_not_fit(job, convert, change, message):
    records = json.loads((job / 'coarse.json').read_text())
    records[1] = {key: value for key, value in {**records[1], **change}.items() if value is not None}
    (job / 'coarse.json').write_text(json.dumps(records))
    status, _, error = convert(job)
    assert status == 1 and message in error


def test_thresholds_and_files_that_are_wrong(job, convert):
    assert 'must be in [0, 1]' in convert(job, '--min-score', 7)[2]
    (job / 'refined/coarse.json').write_text('[]')
    assert 'refine it again' in convert(job)[2]
    (job / 'refined/summary.json').write_text('{')
    assert 'is not valid JSON' in convert(job)[2]


def test_a_split_by_image(job, run_tool):
    arguments = [job / 'images.json', job / 'split', '--parts', 'labelled=1', 'unlabelled=2']
    assert run_tool('split_coco.py', *arguments)[0] == 0
    parts = [json.loads((job / 'split' / f'{name}.json').read_text()) for name in ('labelled', 'unlabelled')]
    ids = [[image['id'] for image in part['images']] for part in parts]
    assert sorted(ids[0] + ids[1]) == [0, 1, 2] and len(ids[0]) == 1
    assert 'asks for 12 images, the file has 3' in run_tool('split_coco.py', *arguments, 'val=9')[2]
    assert 'expects NAME=COUNT' in run_tool('split_coco.py', *arguments, 'val')[2]
    assert 'every name once' in run_tool('split_coco.py', *arguments, 'labelled=1')[2]


def test_check_writes_nothing(job, convert):
    status, out, _ = convert(job, '--min-score', 0.8, '--check')
    assert status == 0 and '1 label and 0 ignored objects' in out and not (job / 'out.json').exists()
    (job / 'refined/coarse.json').write_text('[]')
    assert 'refine it again' in convert(job, '--check')[2]


@pytest.fixture
def odd_annotations(job) -> Path:
    """An annotation of each sort that cannot be used, and one that can."""
    content = json.loads((job / 'images.json').read_text())
    mask = encode_rle(np.ones(SIZE_HW, bool))
    good = {'id': 1, 'image_id': 0, 'category_id': 5, 'segmentation': mask}
    odd = [{'image_id': 9}, {'category_id': 8}, {'segmentation': []}, {'segmentation': {'size': [2, 2], 'counts': '4'}}]
    content['annotations'] = [good, *({**good, 'id': number, **change} for number, change in enumerate(odd, 2))]
    (job / 'odd.json').write_text(json.dumps(content))
    return job


def test_label_maps_of_odd_annotations(odd_annotations, run_tool):
    arguments = [odd_annotations / 'odd.json', odd_annotations / 'maps']
    for options, written in ((['--check'], False), ([], True)):
        status, out, error = run_tool('coco_to_label_maps.py', *arguments, *options)
        assert status == 1 and '1 object of 1 category on 3 images' in out
        for sentence in ('images that do not exist, such as 9', 'categories that do not exist, such as 8'):
            assert f'1 of 5 masks belong to {sentence}' in error
        assert 'no segmentation, such as 4' in error and 'annotation 5: ' in error
        assert (odd_annotations / 'maps/labels/0.png').exists() == written


def test_label_maps_that_would_overwrite_each_other(job, run_tool):
    content = json.loads((job / 'images.json').read_text())
    content['images'][1]['file_name'] = 'other/0.png'
    (job / 'images.json').write_text(json.dumps(content))
    status, _, error = run_tool('coco_to_label_maps.py', job / 'images.json', job / 'maps')
    assert status == 2 and '0.png and other/0.png would become one label map' in error
    assert not (job / 'maps').exists()


def test_split_check(odd_annotations, run_tool):
    arguments = [odd_annotations / 'odd.json', odd_annotations / 'split', '--parts', 'all=3', '--check']
    status, out, error = run_tool('split_coco.py', *arguments)
    assert status == 1 and '3 images, 4 annotations' in out and 'annotations of no image: 1 of 5' in error
    assert not (odd_annotations / 'split').exists()


def test_results_that_cannot_be_used(odd_annotations, run_tool):
    records = json.loads((odd_annotations / 'odd.json').read_text())['annotations']
    (odd_annotations / 'results.json').write_text(json.dumps([{**record, 'score': 0.9} for record in records]))
    arguments = [odd_annotations / name for name in ('results.json', 'images.json', 'made.json')]
    for options, written in ((['--check'], False), ([], True)):
        status, out, error = run_tool('results_to_coco.py', *arguments, *options)
        assert status == 1 and '1 mask of 3 images' in out and error.count('left out') == 4
        assert arguments[2].exists() == written


@pytest.mark.parametrize('content', ['[]', '{"images": 3}', '{"images": [{"name": "a"}]}', '{"images": []}', '7', '{'])
def test_no_annotation_file(job, run_tool, content):
    (job / 'bad.json').write_text(content)
    for tool, arguments in (
        ('split_coco.py', ['--parts', 'all=1']),
        ('coco_to_label_maps.py', []),
        ('results_to_coco.py', []),
    ):
        paths = [job / 'coarse.json', job / 'bad.json'] if tool.startswith('results') else [job / 'bad.json']
        status, _, error = run_tool(tool, *paths, job / 'x', *arguments)
        assert status == 2 and 'bad.json' in error and 'Traceback' not in error and not (job / 'x').exists()
