"""Small promptable segmenters: the reference's trained SAM (B_tinysam_*), and random ones of every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmrefine.core.prompts import InputFrame
from mmrefine.models.backends import PromptBackend, PromptFeatures, SAMBackend

DATA = Path(__file__).parents[1] / 'data'

TRAINED = dict(
    embed_dim=32,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    mlp_ratio=2,
    prompt_dim=32,
    decoder_heads=4,
    decoder_mlp_dim=64,
    iou_head_dim=32,
)
RANDOM = {**TRAINED, 'image_size': 256, 'global_attn_indexes': (0, 1)}


class PlainBackend(PromptBackend):
    """Features that follow from the image and one weight, and a count of encodings."""

    segmenter = 'head'
    input_hw = prompt_hw = (8, 8)

    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]), requires_grad=False)
        self.head = nn.Linear(1, 1)
        self.encoded = 0

    @property
    def iou_head(self):
        return self.head

    def frame(self, image_hw):
        return InputFrame(tuple(image_hw), self.input_hw, self.input_hw)

    def encode(self, image):
        self.encoded += 1
        embedding = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) / 3 * self.factor
        return PromptFeatures(
            self.frame(image.shape[:2]), embedding, {'one': embedding[:1] + 1, 'two': embedding[1:] - 1}
        )

    def predict(self, features, points=None, labels=None, boxes=None, mask_inputs=None):
        raise NotImplementedError


def trained_backend() -> SAMBackend:
    """The reference's tiny SAM, as its outputs were recorded: mean and deviation of pixels in half precision too."""
    backend = SAMBackend(TRAINED)
    with np.load(DATA / 'B_tinysam_weights_public.npz') as weights:
        backend.sam.load_state_dict(
            {name: torch.from_numpy(weights[name].astype(np.float32)) for name in weights.files}
        )
    for buffer in (backend.sam.pixel_mean, backend.sam.pixel_std):
        buffer.copy_(buffer.half())
    return backend


def random_sam(**kwargs) -> SAMBackend:
    """A SAM with random weights, positions in its attention included, for inputs of 256x256."""
    torch.manual_seed(0)
    backend = SAMBackend(RANDOM, **kwargs)
    return randomize(backend)


def randomize(backend):
    """Give the relative positions of a ViT, which start at zero, some weight."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in backend.named_parameters():
        if 'rel_pos' in name or 'pos_embed' in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return backend


def noise_image(size_hw: tuple[int, int] = (60, 90), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)


def some_prompts(count: int, size_hw: tuple[int, int], prompt_hw: tuple[int, int]) -> dict[str, np.ndarray]:
    """Points with a missing one, boxes and masks."""
    rng = np.random.default_rng(1)
    points = rng.integers(0, min(size_hw), (count, 2, 2))
    labels = np.tile([1, 0], (count, 1))
    labels[0, 1] = -1
    corners = np.sort(rng.integers(0, min(size_hw), (count, 2, 2)), axis=1).reshape(count, 4)
    masks = rng.standard_normal((count, 1, *prompt_hw)).astype(np.float32) * 10
    return {'points': points, 'labels': labels, 'boxes': corners, 'mask_inputs': masks}
