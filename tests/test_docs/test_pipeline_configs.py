"""The configs that docs/pipelines.md and docs/cam.md show are those in configs/pipelines, and run on a few images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmrefine import compat
from tests.helpers.scenes import Scenes

CONFIGS = {
    'pipelines': ['mask-rcnn_r50_refined-masks_coco.py', 'mask-rcnn_r50_refined-results_coco.py'],
    'cam': ['deeplabv3plus_r50_refined-cams_voc12.py'],
}


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    return Scenes(tmp_path / 'mine', 2)


@pytest.mark.parametrize('page', CONFIGS)
def test_pages_show_the_configs(page: str, repo_root: Path):
    shown = re.findall(r'```python\n(.*?)```', (repo_root / f'docs/{page}.md').read_text(), re.DOTALL)
    assert shown == [(repo_root / 'configs/pipelines' / name).read_text() for name in CONFIGS[page]]
    assert all(len(config.splitlines()) < 30 for config in shown)


def load(repo_root: Path, name: str, package: str) -> Config:
    pytest.importorskip(package)
    compat.setup()
    return Config.fromfile(repo_root / 'configs/pipelines' / name)


def build(config: Config, registry: object) -> object:
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return registry.build(config.train_dataloader.dataset)


def differing(masks: np.ndarray, others: np.ndarray) -> int:
    return np.count_nonzero(masks.astype(bool) != others)


def test_detector_learns_from_refined_masks(repo_root: Path, scenes: Scenes, tmp_path: Path):
    config = load(repo_root, CONFIGS['pipelines'][0], 'mmdet')
    from mmdet.registry import DATASETS

    content = scenes.read_json('coco.json')
    for record in content['annotations']:
        record['bbox'] = [0, 0, 20, 20]
    scenes.write_json('coarse.json', content)
    (scenes.folder / 'photos').rename(scenes.folder / 'images')
    config.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(scenes.folder),
            'train_dataloader.dataset.metainfo': {'classes': ('left', 'right')},
            'train_dataloader.dataset.pipeline.2.cache_dir': str(tmp_path / 'cache'),
            'train_dataloader.dataset.pipeline.3.scale': (60, 40),
            'train_dataloader.dataset.pipeline.4.prob': 0.0,
        }
    )
    dataset = build(config, DATASETS)
    for index in range(2):
        masks = dataset[index]['data_samples'].gt_instances.masks.to_ndarray()
        # The bundled refiner finds these plain rectangles nearly whole.
        assert differing(masks, scenes.true[index]) < 0.5 * differing(scenes.coarse[index], scenes.true[index])
    assert len(list((tmp_path / 'cache').rglob('*.npz'))) == 2


def test_detector_learns_from_refined_results(repo_root: Path, scenes: Scenes, tmp_path: Path):
    config = load(repo_root, CONFIGS['pipelines'][1], 'mmdet')
    from mmdet.registry import DATASETS

    content = scenes.read_json('coco.json')
    categories = [{'id': 1, 'name': 'person'}, {'id': 3, 'name': 'car'}]
    scenes.write_json('images.json', {'images': content['images'], 'categories': categories})
    records = [
        {'image_id': item['image_id'], 'category_id': 2 * item['category_id'] - 1, 'segmentation': item['segmentation'],
         'score': 0.9}
        for item in content['annotations']
    ]  # fmt: skip
    uncertain = {**records[0], 'score': 0.4}
    empty = [record for record in records if record['image_id'] == content['images'][1]['id']]
    for record in empty:
        record['score'] = 0.1  # the second image is left with no mask, and is there nevertheless
    scenes.write_json('results.json', [*records, uncertain])
    (scenes.folder / 'photos').rename(scenes.folder / 'images')
    config.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(scenes.folder),
            'train_dataloader.dataset.pipeline.1.path': str(scenes.folder / 'results.json'),
            'train_dataloader.dataset.pipeline.2.cache_dir': str(tmp_path / 'cache'),
            'train_dataloader.dataset.pipeline.3.scale': (60, 40),
            'train_dataloader.dataset.pipeline.4.prob': 0.0,
        }
    )
    assert config.model.roi_head.mask_head.num_classes == 2
    dataset = build(config, DATASETS)
    assert len(dataset) == 2
    first, second = (dataset[index]['data_samples'].gt_instances for index in range(2))
    order = np.argsort(first.labels.numpy())
    assert first.labels[order].tolist() == [0, 1]
    masks = first.masks.to_ndarray()[order]
    assert differing(masks, scenes.true[0]) < 0.5 * differing(scenes.coarse[0], scenes.true[0])
    assert len(second.labels) == len(second.masks) == 0 and second.bboxes.tensor.shape == (0, 4)


def test_segmentor_learns_from_refined_activation_maps(repo_root: Path, scenes: Scenes, tmp_path: Path):
    config = load(repo_root, CONFIGS['cam'][0], 'mmseg')
    from mmseg.registry import DATASETS

    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation', 'cams'):
        (scenes.folder / folder).mkdir(parents=True)
    for name, pair in zip(scenes.names, scenes.coarse, strict=True):
        with Image.open(scenes.folder / f'photos/{name}.png') as image:
            image.save(scenes.folder / f'JPEGImages/{name}.jpg', quality=95)
        np.save(scenes.folder / f'cams/{name}.npy', {'keys': np.array([0, 14]), 'cam': pair.astype(np.float32)})
    (scenes.folder / 'ImageSets/Segmentation/train.txt').write_text('\n'.join(scenes.names))
    steps = 'train_dataloader.dataset.pipeline'
    config.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(scenes.folder),
            f'{steps}.1.path': str(scenes.folder / 'cams'),
            f'{steps}.2.cache_dir': str(tmp_path / 'cache'),
            f'{steps}.3.scale': (60, 40),
            f'{steps}.3.ratio_range': (1.0, 1.0),
            f'{steps}.4.crop_size': (40, 60),
            f'{steps}.5.prob': 0.0,
        }
    )
    dataset = build(config, DATASETS)
    for index in range(2):
        label_map = dataset[index]['data_samples'].gt_sem_seg.data[0].numpy()
        band = label_map == 255
        assert band.any() and set(np.unique(label_map)) == {0, 1, 15, 255}
        for position, label in enumerate((1, 15)):
            coarse, true = scenes.coarse[index, position], scenes.true[index, position]
            np.testing.assert_array_equal((label_map == label) | (band & coarse), coarse)
            assert differing(label_map[~band] == label, true[~band]) < 0.5 * differing(coarse, true)
    assert len(list((tmp_path / 'cache').rglob('*.npz'))) == 2
