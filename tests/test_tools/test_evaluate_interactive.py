"""The tool that measures SAM2Refiner on folders of images and masks, as it is called."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmrefine.models.sam2_refiner import SAM2RefinerPredictor
from mmrefine.registry import MODELS
from tests.helpers.synthetic_scenes import make_scene
from tests.helpers.tiny_sam import RANDOM

pytest.importorskip('sam2')


@pytest.fixture(scope='module')
def tool(repo_root) -> ModuleType:
    path = repo_root / 'tools' / 'analysis_tools' / 'evaluate_interactive.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def model_files(repo_root, tmp_path_factory) -> tuple[str, str]:
    """A config of a small SAM2Refiner that answers what its SAM 2 does, and a checkpoint of both."""
    folder = tmp_path_factory.mktemp('model')
    base = repo_root / 'configs' / 'sam2_refiner' / 'sam2-refiner_tiny_folder.py'
    small = dict(image_size=64, embed_dim=16, stages=(1, 1, 2, 1), hidden_dim=32)
    (folder / 'config.py').write_text(f"_base_ = '{base}'\nmodel = dict(save_base=True, base=dict(small={small}))\n")
    model = MODELS.build(Config.fromfile(folder / 'config.py').model)
    torch.save(model.state_dict(), folder / 'model.pth')
    return str(folder / 'config.py'), str(folder / 'model.pth')


@pytest.fixture
def data(tool, tmp_path) -> Path:
    """Two images of COIFT and one of HRSOD, in the folders of HQ-SAM's data."""
    for number, name in enumerate(('COIFT', 'COIFT', 'HRSOD')):
        image, _, masks = make_scene(number, (60, 80))
        for folder, array, suffix in zip(
            tool.SETS[name], (image, masks[0] * np.uint8(255)), ('jpg', 'png'), strict=True
        ):
            (tmp_path / 'data' / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'data' / folder / f'{number}.{suffix}'), array)
    return tmp_path / 'data'


def arguments(model_files, data, out, *others: str) -> list[str]:
    return [
        *model_files,
        '--data',
        str(data),
        '--sets',
        'COIFT',
        'HRSOD',
        '--out',
        str(out),
        '--device',
        'cpu',
        *others,
    ]


def test_an_untrained_refiner_scores_as_its_sam2_and_a_second_start_works_no_more(
    tool, model_files, data, tmp_path, monkeypatch, capsys
):
    out = tmp_path / 'out'
    tool.main(arguments(model_files, data, out, '--prompts', 'box', '1', '3'))
    summary = json.loads((out / 'results.json').read_text())['summary']
    assert list(summary) == [
        f'{name}, {prompt}'
        for prompt in ('box', 'clicks: 1', 'clicks: 3')
        for name in ('COIFT', 'HRSOD', 'mean of sets')
    ]
    for scores in summary.values():
        assert scores['gain/iou'] == scores['gain/boundary_iou'] == 0
    box = [summary[f'{name}, box'] for name in ('COIFT', 'HRSOD', 'mean of sets')]
    assert [scores['num_masks'] for scores in box] == [2, 1, 3]
    assert box[2]['refined/iou'] == pytest.approx((box[0]['refined/iou'] + box[1]['refined/iou']) / 2)
    table = (out / 'table.md').read_text()
    assert table in capsys.readouterr().out and '| mean of sets, clicks: 3 ' in table

    monkeypatch.setattr(tool, 'build_predictor', lambda args: pytest.fail('all images were done'))
    (out / 'table.md').unlink()
    tool.main(arguments(model_files, data, out, '--prompts', 'box', '1', '3'))
    assert (out / 'table.md').read_text() == table
    with pytest.raises(ValueError, match='prompts'):
        tool.main(arguments(model_files, data, out, '--prompts', 'box'))


def test_a_killed_evaluation_goes_on(tool, model_files, data, tmp_path, monkeypatch):
    shown = []
    set_image = SAM2RefinerPredictor.set_image

    def fail_at_the_second(self, image):
        shown.append(image)
        if len(shown) == 2:
            raise KeyboardInterrupt
        set_image(self, image)

    monkeypatch.setattr(SAM2RefinerPredictor, 'set_image', fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        tool.main(arguments(model_files, data, tmp_path / 'out', '--prompts', '1'))
    assert not (tmp_path / 'out' / 'results.json').exists()
    tool.main(arguments(model_files, data, tmp_path / 'out', '--prompts', '1'))
    assert len(shown) == 4  # the first image was not shown again
    tool.main(arguments(model_files, data, tmp_path / 'whole', '--prompts', '1'))
    whole, resumed = (json.loads((tmp_path / name / 'results.json').read_text()) for name in ('whole', 'out'))
    assert whole['images'][1:] == resumed['images'][1:]


def test_scores_of_known_masks(tool):
    """Half of the object from SAM 2, all of it from the refiner."""
    gt = np.zeros((40, 40), bool)
    gt[10:30, 10:30] = True
    half = gt.copy()
    half[:, 20:] = False
    predictor = SimpleNamespace(
        set_image=lambda image: None,
        predict_objects=lambda prompts, refine: SimpleNamespace(masks=[gt if refine else half]),
    )
    sample = {'img': None, 'img_id': 'a', 'source': 's', 'gt_masks': gt[None]}
    scores = tool.evaluate_image(predictor, sample, ['box'], seed=0)['scores']['box']
    # Bands of round(0.02 * 56.6) = 1 pixel: 76 pixels around the square, 56 around its half, which share 10 + 10 + 18.
    assert scores['coarse'] == pytest.approx(
        {'iou': 0.5, 'boundary_iou': 38 / (76 + 56 - 38), 'union_px': 400, 'boundary_union_px': 76 + 56 - 38}
    )
    assert scores['refined'] == {'iou': 1, 'boundary_iou': 1, 'union_px': 400, 'boundary_union_px': 76}
    sample['gt_masks'] = np.zeros((1, 40, 40), bool)
    assert tool.evaluate_image(predictor, sample, ['box'], seed=0)['scores'] == {}


def test_own_folders_and_what_is_wrong_with_them(tool, model_files, data, tmp_path):
    images, masks = (data / folder for folder in tool.SETS['HRSOD'])
    own = ['--folders', 'mine', str(images), str(masks), '--prompts', 'box']
    tool.main(arguments(model_files, data, tmp_path / 'out', *own))
    assert list(json.loads((tmp_path / 'out' / 'results.json').read_text())['summary']) == [
        'mine, box',
        'mean of sets, box',
    ]
    (masks / '2.png').unlink()
    with pytest.raises(ValueError, match='every image needs a mask'):
        tool.main(arguments(model_files, data, tmp_path / 'new', *own))
    with pytest.raises(FileNotFoundError, match='DIS-VD/im'):
        tool.main([*model_files, '--data', str(data), '--out', str(tmp_path / 'new')])
    with pytest.raises(SystemExit):
        tool.main(arguments(model_files, data, tmp_path / 'new', '--prompts', 'click'))


def test_a_segmenter_is_measured_beside_it(tool, data, tmp_path, repo_root, capsys):
    """A config of SAMRefiner: its segmenter answers boxes and clicks, and both sides are its."""
    config = tmp_path / 'sam.py'
    config.write_text(
        f"_base_ = '{repo_root / 'configs/sam_refiner/sam-refiner_vit-b.py'}'\n"
        f"model = dict(backend=dict(_delete_=True, type='SAMBackend', arch={RANDOM!r}))\n"
    )
    options = ['--data', str(data), '--sets', 'HRSOD', '--device', 'cpu', '--prompts', 'box', '2']
    tool.main([str(config), *options, '--out', str(tmp_path / 'out')])
    summary = json.loads((tmp_path / 'out/results.json').read_text())['summary']
    assert list(summary) == ['HRSOD, box', 'mean of sets, box', 'HRSOD, clicks: 2', 'mean of sets, clicks: 2']
    for scores in summary.values():
        assert scores['coarse/iou'] == scores['refined/iou'] and 0 <= scores['coarse/iou'] <= 1
    with pytest.raises(SystemExit, match='without CHECKPOINT'):
        tool.main(
            [
                str(repo_root / 'configs/sam2_refiner/sam2-refiner_tiny_folder.py'),
                *options,
                '--out',
                str(tmp_path / 'x'),
            ]
        )
