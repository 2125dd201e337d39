"""Mask head of Mask R-CNN with a loss weight for each instance."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor

from mmrefine.registry import MODELS


@MODELS.register_module()
class WeightedFCNMaskHead(FCNMaskHead):
    """MMDetection's ``FCNMaskHead`` with the loss of each instance weighted by ``gt_instances.weights``, in [0, 1].

    The loss is the mean over RoIs of weight times mean binary cross-entropy; with weights of 1 it is MMDetection's.
    Instances of images without weights, such as human annotations, have weight 1. Losses of boxes and classes are not
    weighted.

    Args:
        kwargs: see ``FCNMaskHead``; ``loss_mask`` must be its binary cross-entropy.

    Raises:
        ValueError: ``loss_mask`` is another loss.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not getattr(self.loss_mask, 'use_mask', False):
            raise ValueError(
                'WeightedFCNMaskHead weights the binary cross entropy of FCNMaskHead; expected '
                f'loss_mask=dict(type="CrossEntropyLoss", use_mask=True), got {type(self.loss_mask).__name__}.'
            )

    def loss_and_target(
        self, mask_preds: Tensor, sampling_results: list, batch_gt_instances: list, rcnn_train_cfg: dict
    ) -> dict:
        """Mask loss and targets, see MMDetection's ``FCNMaskHead.loss_and_target``.

        Args:
            mask_preds: (R, num_classes, h, w) logits of R positive RoIs.
            sampling_results: assignment of RoIs to instances, for each image.
            batch_gt_instances: instances with ``masks`` and optionally ``weights``, for each image.
            rcnn_train_cfg: config with ``mask_size``.
        """
        targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        if not len(mask_preds):
            return {'loss_mask': {'loss_mask': mask_preds.sum()}, 'mask_targets': targets}
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        channels = torch.zeros_like(labels) if self.class_agnostic else labels
        logits = mask_preds[torch.arange(len(labels), device=labels.device), channels]
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean(dim=(1, 2))
        weights = torch.cat(
            [
                _weights(instances, result.pos_assigned_gt_inds, losses)
                for instances, result in zip(batch_gt_instances, sampling_results, strict=True)
            ]
        )
        loss = self.loss_mask.loss_weight * (weights * losses).mean()
        return {'loss_mask': {'loss_mask': loss}, 'mask_targets': targets}


def _weights(instances: Any, assigned: Tensor, like: Tensor) -> Tensor:
    """Weights of the positive RoIs of an image."""
    if 'weights' not in instances:
        return like.new_ones(len(assigned))
    return instances.weights.to(like)[assigned]
