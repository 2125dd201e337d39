"""A small SAM 2 trained to predict coarse masks from boxes and points, so that a refiner can improve them.

    python coarse_sam2.py CHECKPOINT OUT

writes the SAM 2 of a training checkpoint as ``model.base.checkpoint`` reads it. Legend: B objects on B images,
P points, S input size.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import Tensor

from mmrefine.files.atomic import whole_file
from mmrefine.models.losses import PointSampledMaskLoss
from mmrefine.models.sam2_refiner.base import build_base
from mmrefine.models.state_dicts import read_state_dict
from mmrefine.registry import MODELS
from mmrefine.structures import ObjectPrompt, RefineDataSample

_COARSENESS = 4  # ground truth is averaged over cells of so many pixels: the grid of SAM 2's own mask logits


def coarse_gt(masks: Tensor) -> Tensor:
    """Coarse ground truth of the base (B, 1, S/4, S/4) from masks (B, 1, S, S), by majority in each cell."""
    return (F.avg_pool2d(masks.float(), _COARSENESS) > 0.5).float()


@MODELS.register_module()
class CoarseSAM2(BaseModel):
    """Trains image encoder, prompt encoder and mask decoder of a SAM 2; its video memory modules stay random.

    Args:
        base: keyword arguments of :func:`~mmrefine.models.sam2_refiner.base.build_base`.
        blind_iters: number of first iterations in which the decoder gets prompts but no image; otherwise it learns to
            segment salient objects and to ignore prompts.
    """

    def __init__(self, base: Mapping[str, Any], blind_iters: int = 1000):
        super().__init__(MODELS.build({'type': 'SAM2DataPreprocessor'}))
        self.base = build_base(**base).requires_grad_(True)
        self.blind_iters = blind_iters
        self.loss_mask = PointSampledMaskLoss(mode='full')

    def init_weights(self) -> None:
        """Does nothing: the package sam2 initializes the model."""

    def forward(
        self, inputs: Tensor, data_samples: Sequence[RefineDataSample], mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor]:
        """Logits (B, 1, S/4, S/4) of the prompts of ``inputs`` (B, 3, S, S), or with mode 'loss' their losses."""
        features = self.base.forward_image(inputs)['backbone_fpn']
        if mode == 'loss' and MessageHub.get_current_instance().get_info('iter') < self.blind_iters:
            features = [torch.zeros_like(level) for level in features]
        logits = self.decode(features, [sample.prompt for sample in data_samples])
        if mode == 'tensor':
            return logits
        gt = torch.stack([sample.gt_masks for sample in data_samples]).to(logits.device)
        return {f'loss_{name}': loss for name, loss in self.loss_mask(logits, coarse_gt(gt)).items()}

    def decode(self, features: Sequence[Tensor], prompts: Sequence[ObjectPrompt]) -> Tensor:
        """Logits of B prompts; prompts with equal numbers of points are decoded together."""
        groups = defaultdict(list)
        for row, prompt in enumerate(prompts):
            groups[len(prompt.point_labels)].append(row)
        logits = [self._decode([f[rows] for f in features], [prompts[k] for k in rows]) for rows in groups.values()]
        order = torch.tensor([row for rows in groups.values() for row in rows]).argsort()
        return torch.cat(logits)[order]

    def _decode(self, features: Sequence[Tensor], prompts: Sequence[ObjectPrompt]) -> Tensor:
        *fine, coarse = features
        prompts = [prompt.to(coarse.device) for prompt in prompts]
        points = tuple(torch.stack([getattr(p, name) for p in prompts]) for name in ('point_coords', 'point_labels'))
        sparse, dense = self.base.sam_prompt_encoder(points=points, boxes=None, masks=None)
        return self.base.sam_mask_decoder(
            image_embeddings=coarse + self.base.no_mem_embed.view(1, -1, 1, 1),
            image_pe=self.base.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            repeat_image=False,
            high_res_features=fine,
        )[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint')
    parser.add_argument('out')
    args = parser.parse_args()
    weights = read_state_dict(args.checkpoint)
    with whole_file(args.out, 'wb') as file:
        torch.save({name.removeprefix('base.'): value for name, value in weights.items()}, file)


if __name__ == '__main__':
    main()
