"""How well the base and every variant do on the held-out images. Legend: N images, B of a batch, S their side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmrefine.evaluation import evaluate_masks, simulated_prompt
from mmrefine.files.atomic import whole_file
from mmrefine.models.sam2_refiner.base import prompt_masks
from mmrefine.models.sam2_refiner.core import upsample

from .features import CachedFeatures
from .prompts import stack_prompts
from .variants import answer

PROMPTS = ('box', 1, 2, 5)
METRIC_NAMES = ('iou', 'boundary_iou')
BASE = 'base'
_SEED = 2024
_BATCH = 16

# scores[system][prompt][metric]: one value per image
Scores = dict[str, dict[str, dict[str, list[float]]]]


@torch.no_grad()
def score(base: nn.Module, cores: nn.ModuleDict, cached: CachedFeatures) -> Scores:
    """Scores of up(M), the base's mask at full size, and of every variant, against the fine ground truth."""
    scores: Scores = {
        name: {str(prompt): {metric: [] for metric in METRIC_NAMES} for prompt in PROMPTS} for name in (BASE, *cores)
    }
    for start in range(0, len(cached.pool), _BATCH):
        chosen = np.arange(start, min(start + _BATCH, len(cached.pool)))
        features, gt = cached.take(chosen), cached.pool.masks[chosen]
        for prompt in PROMPTS:
            points, labels = stack_prompts(
                [simulated_prompt(mask, prompt, _SEED, str(k)) for mask, k in zip(gt, chosen, strict=True)]
            )
            plain = prompt_masks(base, features.embedding, features.fine, points, labels)
            logits = {name: answer(base, core, features, points, labels, plain).logits for name, core in cores.items()}
            logits[BASE] = upsample(plain.logits, features.image)
            for name, own in logits.items():
                values = evaluate_masks(own[:, 0].numpy() > 0, gt, METRIC_NAMES)
                for metric in METRIC_NAMES:
                    scores[name][str(prompt)][metric] += values[metric].tolist()
    return scores


def mean_iou(scores: Scores, name: str = BASE) -> float:
    """Mean IoU of a system over images and prompts."""
    return float(np.mean([scores[name][str(prompt)]['iou'] for prompt in PROMPTS]))


def save_scores(path: Path, scores: Scores) -> None:
    with whole_file(path) as file:
        json.dump(scores, file)


def load_scores(path: Path) -> Scores:
    return json.loads(path.read_text(encoding='utf-8'))
