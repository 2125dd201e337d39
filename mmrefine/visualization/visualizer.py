"""Visualizer for mmengine's Runner. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer as MMEngineVisualizer
from PIL import Image

from mmrefine.core.regions import VOID
from mmrefine.files.atomic import whole_file
from mmrefine.registry import VISUALIZERS
from mmrefine.structures import label_map_from_seg, masks_from_det
from mmrefine.visualization.side_by_side import draw_refinement

# Fields of label maps that models predict, and of their ground truth.
_MAPS = {'pred_sem_seg': 'gt_sem_seg', 'pred_panoptic_seg': 'gt_panoptic_seg'}


@VISUALIZERS.register_module(name='Visualizer', force=True)
class Visualizer(MMEngineVisualizer):
    """Visualizer that draws image, coarse, refined and ground-truth masks side by side.

    In a config: ``visualizer = dict(type='mmrefine.Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])``
    and, for refiners, ``custom_hooks = [dict(type='mmrefine.RefineVisualizationHook')]``. With models of MMDetection
    and MMSegmentation that :class:`~mmrefine.engine.RefineHook` refines, their own ``DetVisualizationHook`` and
    ``SegVisualizationHook`` draw with it. Ground truth is drawn where the pipeline loads it after resizing, so that it
    has the size of the image.

    Attributes:
        draws_coarse: tells ``RefineHook`` that coarse masks are to be kept.
    """

    draws_coarse = True

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: BaseDataElement | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        step: int = 0,
        out_file: str | os.PathLike | None = None,
        pred_score_thr: float = 0.0,
        **ignored: Any,
    ) -> np.ndarray:
        """Draw a sample, and write the picture to a file or pass it to the backends.

        Args:
            name: name of the picture.
            image: (H, W, 3) uint8 RGB.
            data_sample: a ``RefineDataSample`` with ``coarse_masks`` and optionally ``refined_masks`` and ``gt_masks``;
                or a ``DetDataSample`` or ``SegDataSample`` with predictions.
            draw_gt, draw_pred: whether to draw ground truth and refined masks.
            show: whether to show the picture in a window.
            wait_time: seconds for which the window is shown; 0: until it is closed.
            step: training step.
            out_file: image file to write; None: the backends get the picture.
            pred_score_thr: minimum score of instances.

        Returns:
            the picture, (h, w, 3) uint8 RGB.
        """
        sides = _Sides() if data_sample is None else _sides(data_sample, pred_score_thr)
        coarse = np.zeros((0, *image.shape[:2]), bool) if sides.coarse is None else sides.coarse
        refined = sides.refined if draw_pred and sides.refined is not None else coarse
        has_gt = draw_gt and sides.gt is not None and sides.gt.shape[1:] == image.shape[:2]
        drawn = draw_refinement(image, coarse, refined, name, gt_masks=sides.gt if has_gt else None)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is None:
            self.add_image(name, drawn, step)
        else:
            suffix = os.path.splitext(out_file)[1].lower()
            with whole_file(out_file, 'wb') as file:
                Image.fromarray(drawn).save(file, format=Image.registered_extensions().get(suffix, 'PNG'))
        return drawn


class _Sides(NamedTuple):
    """Coarse, refined and ground-truth masks, (N, H, W) bool each; None where there are none."""

    coarse: np.ndarray | None = None
    refined: np.ndarray | None = None
    gt: np.ndarray | None = None


def _sides(sample: BaseDataElement, score_thr: float) -> _Sides:
    """The masks of a sample; those of a prediction that was not refined are both coarse and refined."""
    before = sample.get('coarse', sample)
    for name, gt_name in _MAPS.items():
        if name in sample:
            maps = [label_map_from_seg(before, name), label_map_from_seg(sample, name)]
            if gt_name in sample:
                maps.append(label_map_from_seg(sample, gt_name))
            values = np.unique(np.concatenate([np.unique(label_map) for label_map in maps]))
            values = values[values != VOID]
            return _Sides(*(label_map == values[:, None, None] for label_map in maps))
    if 'masks' in sample.get('pred_instances', ()):
        refined, _, scores = masks_from_det(sample)
        shown = scores >= score_thr
        has_gt = 'masks' in sample.get('gt_instances', ())
        gt = masks_from_det(sample, 'gt_instances')[0] if has_gt else None
        return _Sides(masks_from_det(before)[0][shown], refined[shown], gt)
    return _Sides(*(_bool(sample.get(name)) for name in ('coarse_masks', 'refined_masks', 'gt_masks')))


def _bool(masks: np.ndarray | torch.Tensor | None) -> np.ndarray | None:
    if isinstance(masks, torch.Tensor):
        masks = masks.detach().cpu().numpy()
    return None if masks is None else np.asarray(masks) > 0
