"""Visualizer for mmengine's Runner."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.visualization import Visualizer as MMEngineVisualizer

from mmrefine.registry import VISUALIZERS
from mmrefine.structures import RefineDataSample
from mmrefine.visualization.side_by_side import draw_refinement


@VISUALIZERS.register_module(name='Visualizer', force=True)
class Visualizer(MMEngineVisualizer):
    """Visualizer that draws image, coarse, refined and ground-truth masks side by side.

    In a config: ``visualizer = dict(type='mmrefine.Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])``
    and ``custom_hooks = [dict(type='mmrefine.RefineVisualizationHook')]``.
    """

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: RefineDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        step: int = 0,
        **ignored: Any,
    ) -> np.ndarray:
        """Draw a sample and pass the picture to the backends.

        Args:
            name: name of the picture.
            image: (H, W, 3) uint8 RGB.
            data_sample: sample with ``coarse_masks`` and optionally ``refined_masks`` and ``gt_masks``, (N, H, W) each.
            draw_gt, draw_pred: whether to draw ground truth and refined masks.
            show: whether to show the picture in a window.
            wait_time: seconds for which the window is shown; 0: until it is closed.
            step: training step.

        Returns:
            the picture, (h, w, 3) uint8 RGB.
        """
        coarse = _masks(data_sample, 'coarse_masks')
        if coarse is None:
            coarse = np.zeros((0, *image.shape[:2]), bool)
        refined = _masks(data_sample, 'refined_masks') if draw_pred else None
        gt = _masks(data_sample, 'gt_masks') if draw_gt else None
        drawn = draw_refinement(image, coarse, coarse if refined is None else refined, name, gt_masks=gt)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        self.add_image(name, drawn, step)
        return drawn


def _masks(sample: RefineDataSample | None, name: str) -> np.ndarray | None:
    masks = None if sample is None else sample.get(name)
    if isinstance(masks, torch.Tensor):
        masks = masks.detach().cpu().numpy()
    return None if masks is None else np.asarray(masks) > 0
