"""Published layouts, from their own folders to a number: converter, dataset, LoadCoarseMasks, metric."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmrefine.core.rle import encode_rle
from mmrefine.files.mask_layouts import LAYOUTS
from mmrefine.models.refiners.base_refiner import BaseRefiner, Proposal
from mmrefine.registry import MODELS

# Image, ground-truth mask and coarse mask of two samples in each layout, below the root and below the coarse masks'
# folder.
_DAVIS = [(f'JPEGImages/480p/{k}.jpg', f'Annotations/480p/{k}.png', f'{k}.png') for k in ('bear/00000', 'cat/00000')]
FILES = {
    'big': [(f'{k}_im.jpg', f'{k}_gt.png', f'{k}_seg.png') for k in ('a', 'b')],
    'dis5k': [(f'im/{k}.jpg', f'gt/{k}.png', f'{k}.png') for k in ('1#Bag#1', '2#Bag#1')],
    'davis585-stm': [
        ('bear/00009.jpg', f'bear/object{k}_00009.png', f'bear/init_stm_object{k}_00009.png') for k in (1, 2)
    ],
    'davis585-sp': [(f'{k}/00009.jpg', f'{k}/00009.png', f'{k}/init_sp_00009.png') for k in ('bear', 'cat')],
    'ecssd': [(f'images/{k}.jpg', f'ground_truth_mask/{k}.png', f'{k}.png') for k in ('0001', '0002')],
    'msra-b': [(f'{k}.jpg', f'{k}.png', f'{k}.png') for k in ('0_1', '0_2')],
    'images-masks': [(f'images/{k}.jpg', f'masks/{k}.png', f'{k}.png') for k in ('0001', '0002')],
    'davis2016': _DAVIS,
    'davis2017': _DAVIS,
    'voc': [(f'JPEGImages/{k}.jpg', f'SegmentationClassAug/{k}.png', f'{k}.png') for k in ('2007_1', '2007_2')],
    'cityscapes': [
        (f'leftImg8bit/{k}_leftImg8bit.png', f'gtFine/{k}_gtFine_labelTrainIds.png', f'{k}_leftImg8bit.png')
        for k in ('val/m/m_0', 'val/m/m_1')
    ],
}
SIZE = (30, 40)


@MODELS.register_module()
class LitPixels(BaseRefiner):
    """The white pixels of the image for every mask: the ground truth of the images below."""

    def forward(self, inputs, data_samples, mode='predict'):
        return self.predict(inputs, data_samples)

    def _refine_batch(self, inputs):
        return [
            Proposal(np.repeat(item.image[None, ..., 0] > 127, len(item.masks), axis=0), np.ones(len(item.masks)))
            for item in inputs
        ]


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


@pytest.fixture
def run_converter(repo_root, monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str]:
        script = str(repo_root / 'tools/dataset_converters/published_masks_to_coco.py')
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(script, run_name='__main__')
        captured = capsys.readouterr()
        return stopped.value.code, captured.out + captured.err

    return run


@pytest.fixture(params=sorted(FILES))
def layout(request, tmp_path):
    """Name, root and coarse folder of a layout: a square that is lit in the image, and a coarse one half as large."""
    root, coarse = tmp_path / 'root', tmp_path / 'coarse'
    if request.param in ('big', 'davis585-stm', 'davis585-sp'):
        coarse = root
    levels = (7, 255) if LAYOUTS[request.param].labels else (255, 0)
    for image, gt, rough in FILES[request.param]:
        mask = np.zeros(SIZE, bool)
        mask[5:25, 10:30] = True
        write(root / image, np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
        for path, half in ((root / gt, False), (coarse / rough, True)):
            values = np.where(mask, levels[0], 0).astype(np.uint8)
            if half:
                values[5:15, 10:30] = 0
            if LAYOUTS[request.param].labels and not half:
                values[0, 0] = levels[1]  # void, which is not a mask
            if LAYOUTS[request.param].background is None:
                values[~mask & (values == 0)] = 255
            write(path, values)
    return request.param, root, coarse


def test_every_layout_has_a_fixture():
    assert set(FILES) == set(LAYOUTS)


def test_from_the_published_folders_to_a_number(layout, run_converter, repo_root, tmp_path):
    name, root, coarse = layout
    out = tmp_path / 'out'
    arguments = [name, root, out] if coarse == root else [name, root, out, '--coarse', coarse]
    code, text = run_converter(*arguments, '--check')
    assert code == 0 and 'nothing is missing' in text and not out.exists()
    code, text = run_converter(*arguments)
    assert code == 0, text
    config = Config.fromfile(repo_root / 'configs/_base_/datasets/published_masks.py')
    config.merge_from_dict(
        {
            'test_dataloader.dataset.ann_file': str(out / 'truth.json'),
            'test_dataloader.dataset.data_prefix.img': str(root),
            'test_dataloader.num_workers': 0,
            'test_dataloader.dataset.pipeline.2.path': str(out / 'coarse.json'),
            'model': {'type': 'LitPixels'},
            'default_scope': 'mmrefine',
            'work_dir': str(tmp_path / 'work'),
            'log_level': 'ERROR',
        }
    )
    scores = Runner.from_cfg(config).test()
    assert scores['num_masks'] == 2
    assert scores['coarse/iou'] == scores['coarse/pooled_iou'] == pytest.approx(0.5)
    assert scores['refined/iou'] == pytest.approx(1) and scores['refined/mba'] == pytest.approx(1)


def test_check_names_what_is_missing(run_converter, tmp_path):
    write(tmp_path / 'a_gt.png', np.zeros(SIZE, np.uint8))
    code, text = run_converter('big', tmp_path, tmp_path / 'out', '--check')
    assert code == 1 and '1 of 1 image missing' in text and 'a_im.jpg' in text and 'a_seg.png' in text
    code, text = run_converter('dis5k', tmp_path, tmp_path / 'out', '--check')
    assert code == 2 and 'gt/1#Accessories#1#Bag.png' in text


def test_odd_files_are_left_out_and_named(run_converter, tmp_path):
    square = np.zeros(SIZE, np.uint8)
    square[5:15, 5:15] = 255
    for stem in ('good', 'cut', 'small'):
        write(tmp_path / f'{stem}_im.jpg', np.zeros((*SIZE, 3), np.uint8))
        write(tmp_path / f'{stem}_gt.png', square)
        write(tmp_path / f'{stem}_seg.png', square if stem != 'small' else square[::2, ::2])
    data = (tmp_path / 'cut_seg.png').read_bytes()
    (tmp_path / 'cut_seg.png').write_bytes(data[: len(data) // 2])
    code, text = run_converter('big', tmp_path, tmp_path / 'out')
    assert code == 1 and 'cut_seg.png' in text and 'different sizes' in text
    content = json.loads((tmp_path / 'out/coarse.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['good_im.jpg']


def test_grey_levels_are_cut_at_one_half(run_converter, tmp_path):
    grey = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (4, 1))
    write(tmp_path / 'a_im.jpg', np.zeros((4, 256, 3), np.uint8))
    write(tmp_path / 'a_gt.png', np.where(grey > 100, 255, 0).astype(np.uint8))
    write(tmp_path / 'a_seg.png', grey)
    assert run_converter('big', tmp_path, tmp_path / 'out')[0] == 0
    gt, coarse = (json.loads((tmp_path / f'out/{side}.json').read_text()) for side in ('truth', 'coarse'))
    assert gt['annotations'][0]['area'] == 4 * 155 and coarse['annotations'][0]['area'] == 4 * 128


TABLES = {
    'segrefiner/segrefiner_hr_big': ('deeplabv3plus', 'fcn8s'),
    'segrefiner/segrefiner_hr_dis5k': ('DIS-VD', 'DIS-TE4'),
    'segrefiner/segrefiner_hr_salient-objects': ('ecssd', 'cityscapes'),
    'segrefiner/segrefiner_lr_published-masks': (),
    'sam_refiner/sam-refiner_vit-h_davis585': ('sp', 'stm'),
}


@pytest.mark.parametrize('name', TABLES)
def test_tables_by_their_command(name, repo_root, tmp_path, monkeypatch):
    """tools/test.py on the config as it stands, with the data where it looks for them and another refiner."""
    if 'dis5k' in name:
        pytest.importorskip('py_sod_metrics')
    path = repo_root / 'configs' / f'{name}.py'
    dataset = Config.fromfile(path).test_dataloader.dataset
    mask = np.zeros(SIZE, bool)
    mask[5:25, 10:30] = True
    half = mask.copy()
    half[5:15] = False
    for part in dataset.get('datasets', [dataset]):
        root = tmp_path / part.data_prefix.img
        write(root / 'a.jpg', np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
        coarse = next(step.path for step in part.pipeline if step.type == 'LoadCoarseMasks')
        for file, plane in ((part.ann_file, mask), (coarse, half)):
            record = {'id': 1, 'image_id': 1, 'category_id': 1, 'segmentation': encode_rle(plane), 'area': 1}
            image = {'id': 1, 'file_name': 'a.jpg', 'height': SIZE[0], 'width': SIZE[1]}
            content = {'images': [image], 'annotations': [record], 'categories': [{'id': 1, 'name': 'one'}]}
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(json.dumps(content))
    config = tmp_path / 'table.py'
    config.write_text(
        f"_base_ = '{path}'\nmodel = dict(_delete_=True, type='LitPixels')\ntest_dataloader = dict(num_workers=0)\n"
        "log_level = 'ERROR'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['tools/test.py', str(config), '--per-mask', 'masks.json'])
    found = {}
    monkeypatch.setattr(Runner, 'test', lambda runner, test=Runner.test: found.update(test(runner)))
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(repo_root / 'tools/test.py'), run_name='__main__')
    assert not stopped.value.code
    assert found['coarse/pooled_iou'] == pytest.approx(0.5) and found['refined/iou'] == pytest.approx(1)
    for source in TABLES[name]:
        assert found[f'{source}/refined/pooled_iou'] == pytest.approx(1)
    if 'dis5k' in name:
        assert found['dis/DIS-TE1/refined/max_f'] == pytest.approx(1) and found['dis/coarse/mae'] > 0
    if 'davis585' in name:
        assert {'refined/pooled_boundary_iou', 'refined/boundary_iou'} <= set(found)
    assert len(json.loads((tmp_path / 'masks.json').read_text())) == len(dataset.get('datasets', [dataset]))
