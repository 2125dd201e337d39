"""Backend that segments by colour: pixels that resemble the inside of the box more than its surroundings."""

import numpy as np
import torch
from torch import nn

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends import PromptBackend, PromptFeatures
from mmrefine.registry import MODELS


@MODELS.register_module()
class ColourBackend(PromptBackend):
    segmenter = 'head'
    input_hw = prompt_hw = (64, 64)

    def __init__(self):
        super().__init__()
        self.head = nn.Module()
        self.head.layers = nn.ModuleList([nn.Linear(1, 1)])  # SAMRefiner++ would adapt it; unused here
        self._freeze()

    @property
    def iou_head(self):
        return self.head

    def frame(self, image_hw):
        return InputFrame(tuple(image_hw), self.input_hw, self.input_hw)

    def encode(self, image):
        pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
        resized = nn.functional.interpolate(pixels, self.input_hw, mode='area')[0]
        return PromptFeatures(self.frame(image.shape[:2]), resized)

    def predict(self, features, points=None, labels=None, boxes=None, mask_inputs=None):
        self._check_prompts(points, labels, boxes, mask_inputs)
        logits = torch.stack([self._logits(features, box) for box in boxes])[:, None]
        return logits, torch.full((len(boxes), 1), 0.9)

    def _logits(self, features, box):
        x1, y1, x2, y2 = features.frame.boxes_to_input(box[None])[0].round().astype(int)
        inside = torch.zeros(self.input_hw, dtype=torch.bool)
        inside[y1 : y2 + 1, x1 : x2 + 1] = True
        own, other = (features.embedding[:, region].mean(dim=1) for region in (inside, ~inside))
        distances = [(features.embedding - colour[:, None, None]).square().sum(dim=0) for colour in (other, own)]
        return (distances[0] - distances[1]) / 1000
