"""SAM2Refiner as a backend of SAMRefiner, for the refinement of coarse masks.

Legend: N prompts (one per mask), P points each, S input size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends import PromptBackend, PromptFeatures
from mmrefine.models.sam2_refiner.base import SAM2Features
from mmrefine.models.sam2_refiner.predictor import to_input
from mmrefine.models.sam2_refiner.sam2_refiner import SAM2Refiner
from mmrefine.models.state_dicts import weights_digest
from mmrefine.registry import MODELS
from mmrefine.structures import ObjectPrompt


@MODELS.register_module()
class SAM2RefinerBackend(PromptBackend):
    """Backend of SAMRefiner that returns one mask per prompt, with logits of the input size.

    Args:
        model: a :class:`SAM2Refiner` or its config; trained weights are loaded together with those of
            :class:`~mmrefine.models.refiners.SAMRefiner`.
    """

    segmenter = 'model'

    def __init__(self, model: SAM2Refiner | dict):
        super().__init__()
        self.model = model if isinstance(model, nn.Module) else MODELS.build(model)
        self.input_hw = (self.model.input_size,) * 2
        self.prompt_hw = tuple(self.model.base.sam_prompt_encoder.mask_input_size)
        self._freeze()

    @property
    def iou_head(self) -> nn.Module:
        return self.model.base.sam_mask_decoder.iou_prediction_head

    def frame(self, image_hw: tuple[int, int]) -> InputFrame:
        return InputFrame(tuple(image_hw), self.input_hw, self.input_hw)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> PromptFeatures:
        features = self.model.encode(to_input(self.model, image))
        extras = {name: values.float() for name, values in features.maps_of(0).items()}
        extras['image'] = features.image[0].float()
        return PromptFeatures(self.frame(image.shape[:2]), features.embedding[0].float(), extras)

    @torch.no_grad()
    def predict(
        self,
        features: PromptFeatures,
        points: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        mask_inputs: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        self._check_prompts(points, labels, boxes, mask_inputs)
        given = [value for value in (points, boxes, mask_inputs) if value is not None]
        prompts = []
        for row in range(len(given[0])):
            arguments = {}
            if points is not None:
                real = labels[row] >= 0  # padding points would still change the output of SAM 2
                arguments |= {'points': features.frame.to_input(points[row][real]), 'labels': labels[row][real]}
            if boxes is not None:
                arguments['box'] = features.frame.boxes_to_input(boxes[row : row + 1])[0]
            if mask_inputs is not None:
                arguments['mask_input'] = mask_inputs[row]
            prompts.append(ObjectPrompt.of(**arguments))
        predictions = self.model.decode(_unpacked(features), prompts, [0] * len(prompts))
        return predictions.logits, predictions.iou[:, None]

    def settings(self) -> str:
        return str(self.model.tile_scale)

    def fingerprint(self) -> str:
        """With the base, which is not part of the model's state dict."""
        return f'{super().fingerprint()} {weights_digest(self.model.base.state_dict())}'


def _unpacked(features: PromptFeatures) -> SAM2Features:
    maps = dict(features.extras)
    return SAM2Features.of_maps(features.embedding[None], [maps], maps.pop('image')[None])
