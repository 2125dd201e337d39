"""Hook that visualizes refined masks during validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import mmengine
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmrefine.files.images import read_image
from mmrefine.registry import HOOKS
from mmrefine.structures import RefineDataSample


@HOOKS.register_module()
class RefineVisualizationHook(Hook):
    """Hook that passes samples to the Runner's visualizer, which must be ``mmrefine.Visualizer``.

    Args:
        interval: number of batches between pictures.
        num_pictures: maximum number of pictures in a validation or test.
    """

    def __init__(self, interval: int = 1, num_pictures: int = 20):
        if interval < 1 or num_pictures < 0:
            raise ValueError(
                f'interval must be at least 1 and num_pictures at least 0, got {interval}, {num_pictures}.'
            )
        self.interval, self.num_pictures = interval, num_pictures

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[RefineDataSample]
    ) -> None:
        self._draw(runner, 'val', batch_idx, outputs)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[RefineDataSample]
    ) -> None:
        self._draw(runner, 'test', batch_idx, outputs)

    def _draw(self, runner: Runner, mode: str, batch_idx: int, outputs: Sequence[RefineDataSample]) -> None:
        number = batch_idx // self.interval
        if batch_idx % self.interval or number >= self.num_pictures or not mmengine.dist.is_main_process():
            return
        sample = outputs[0]
        if sample.get('img_path') is None:
            raise ValueError('RefineVisualizationHook needs img_path in the metainfo of samples, to read the image.')
        image = read_image(sample.img_path)
        runner.visualizer.add_datasample(f'{mode}_{number}', image, data_sample=sample, step=runner.iter)
