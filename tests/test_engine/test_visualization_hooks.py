"""Coarse, refined and ground-truth masks in TensorBoard and in files, drawn by the hooks of real Runners."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.visualization import Visualizer as MMEngineVisualizer
from PIL import Image

from mmrefine.registry import VISUALIZERS
from tests.helpers import tiny_openmmlab as tiny

loader = pytest.importorskip(
    'tensorboard.backend.event_processing.event_file_loader', reason='TensorBoard is not installed'
)
PANELS = 4  # image, coarse, refined, ground truth
REFINE = dict(type='mmrefine.RefineHook', refiner=tiny.REFINER, gate=False)


@pytest.fixture
def validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Validates a config with the visualizer; returns pictures in the event file and in files, and who drew."""

    def validate(config) -> tuple[dict[str, np.ndarray], list[np.ndarray], list[tuple]]:
        # DetVisualizationHook and SegVisualizationHook ask for the instance that was made last.
        monkeypatch.setattr(MMEngineVisualizer, '_instance_dict', MMEngineVisualizer._instance_dict.copy())
        backends = [dict(type='TensorboardVisBackend'), dict(type='LocalVisBackend')]
        config.visualizer = dict(type='mmrefine.Visualizer', vis_backends=backends)
        drawn = []
        visualizer = VISUALIZERS.get('mmrefine.Visualizer')
        draw = visualizer.add_datasample

        def spy(self, *args, **options):
            drawn.append(options['data_sample'])
            return draw(self, *args, **options)

        monkeypatch.setattr(visualizer, 'add_datasample', spy)
        runner = tiny.build(config)
        runner.val()
        folder = Path(runner.work_dir)
        events = {}
        for path in folder.rglob('events.out.tfevents*'):
            for event in loader.EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == 'images':
                        png = value.tensor.string_val[2]
                        events[f'{value.tag}_{event.step}'] = np.asarray(Image.open(io.BytesIO(png)))
        files = {path.stem: np.asarray(Image.open(path)) for path in folder.rglob('vis_image/*.png')}
        return events, files, drawn

    return validate


def assert_shows_all(events: dict, files: dict) -> None:
    """Both have the same pictures, in which every panel differs from the others."""
    assert events.keys() == files.keys() and len(files) > 0
    for name, picture in files.items():
        assert np.array_equal(picture, events[name])
        side = (picture.shape[1] - 8) // PANELS
        assert side == 648, 'coarse, refined or ground truth is missing'
        panels = [picture[-488:-8, 8 + k * side : 8 + k * side + 640] for k in range(PANELS)]
        assert all((panels[a] != panels[b]).any() for a in range(PANELS) for b in range(a))


def test_instances(tmp_path, validated):
    annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    config = tiny.det_config(tiny.write_data(tmp_path / 'data'), tiny.mask_rcnn(), [REFINE])
    pipeline = tiny.det_pipeline()
    config.val_dataloader.dataset.pipeline = [*pipeline[:-1], annotations, pipeline[-1]]
    config.model.test_cfg.rcnn.score_thr = 0.0
    config.default_hooks.visualization = dict(type='DetVisualizationHook', draw=True, interval=1, score_thr=0.0)
    events, files, drawn = validated(config)
    assert_shows_all(events, files)
    for sample in drawn:
        assert sample.coarse.pred_instances.masks.shape == sample.pred_instances.masks.shape
        assert (sample.coarse.pred_instances.masks != sample.pred_instances.masks).any()


def test_label_maps(tmp_path, validated):
    config = tiny.seg_config(tiny.write_data(tmp_path / 'data'), [REFINE])
    config.default_hooks.visualization = dict(type='SegVisualizationHook', draw=True, interval=1)
    assert_shows_all(*validated(config)[:2])


def test_pictures_of_a_test_go_where_they_are_wanted(tmp_path):
    visualizer = VISUALIZERS.build(dict(type='mmrefine.Visualizer', name='out_file'))
    image = np.zeros((20, 30, 3), np.uint8)
    for name in ('a.png', 'b.jpg', 'c'):
        visualizer.add_datasample('test_img', image, out_file=tmp_path / 'out' / name, pred_score_thr=0.3)
        with Image.open(tmp_path / 'out' / name) as picture:
            assert picture.width > 3 * 640
