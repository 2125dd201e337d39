"""SAMRefiner whose segmenter is trained on the prompts that it will be given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmrefine.core.prompts import distance_fields
from mmrefine.models.backends import PromptFeatures
from mmrefine.models.refiners.sam_refiner import SAMRefiner
from mmrefine.registry import MODELS
from mmrefine.structures import RefineDataSample

# Which of points, box and mask a batch is prompted with: at least one.
_COMBINATIONS = [given for given in product((True, False), repeat=3) if any(given)]


@MODELS.register_module()
class TrainableSAMRefiner(SAMRefiner):
    """SAMRefiner that also answers mmengine's ``mode='loss'``; refining is inherited.

    Its backend needs ``encode_batch`` and weights that are left free, see
    :class:`~mmrefine.models.backends.TinySAMBackend`.

    Args:
        full_prob: probability that a batch is prompted with points, box and mask, as in refining; otherwise one of the
            seven combinations is drawn, so that every prompt works alone as well.
        loss: of logits, predicted IoU and truth; default :class:`~mmrefine.models.losses.MultimaskLoss`.
        kwargs: of :class:`SAMRefiner`.
    """

    def __init__(self, *args: Any, full_prob: float = 0.6, loss: dict | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.full_prob = full_prob
        self.loss = MODELS.build(loss or {'type': 'MultimaskLoss'})

    def forward(
        self, inputs: Sequence[Tensor] | Tensor, data_samples: Sequence[RefineDataSample], mode: str = 'loss'
    ) -> dict[str, Tensor] | list[RefineDataSample]:
        """mmengine's modes 'loss' and 'predict'.

        Args:
            inputs: 'loss': B uint8 windows (3, S, S) of the backend's size; 'predict': whole images (3, H, W) uint8.
            data_samples: 'loss': ``coarse_masks`` (not empty) and ``gt_masks``, (1, S, S), and ``seed``.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode != 'loss':
            raise ValueError(f"mode must be 'loss' or 'predict', got {mode!r}.")
        images = (inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))).float()
        if tuple(images.shape[2:]) != self.backend.input_hw:
            raise ValueError(f'training windows must be {self.backend.input_hw} pixels, got {tuple(images.shape[2:])}.')
        embedding, *details = self.backend.encode_batch(images)
        features = PromptFeatures(self.backend.frame(self.backend.input_hw), embedding, tuple(details))
        coarse = torch.cat([sample.coarse_masks for sample in data_samples]).cpu().numpy().astype(bool)
        prompts = self._prompts(features, distance_fields(coarse, self.distance))
        logits, predicted = self.backend.predict(features, **self._some(prompts, data_samples[0].get('seed')))
        target = torch.stack([sample.gt_masks for sample in data_samples]).to(logits.device).float()
        logits = F.interpolate(logits.float(), target.shape[2:], mode='bilinear', align_corners=False)
        return self.loss(logits, predicted.float(), target)

    def _some(self, prompts: dict[str, Any], seed: int | None) -> dict[str, Any]:
        """The prompts of one combination, drawn from the first sample's seed."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        if torch.rand((), generator=generator) < self.full_prob:
            return prompts
        drawn = _COMBINATIONS[int(torch.randint(len(_COMBINATIONS), (), generator=generator))]
        given = dict(zip(('points', 'boxes', 'mask_inputs'), drawn, strict=True), labels=drawn[0])
        return {name: prompt for name, prompt in prompts.items() if given[name]}
