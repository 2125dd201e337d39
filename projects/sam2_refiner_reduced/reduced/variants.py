"""Stage 2: the variants of the refiner learn the fine ground truth above the frozen base, in step with each other.

Every step gives all variants the same images, prompts and learning rate, so that all have made as many steps whenever
the time is over.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmrefine.models.losses import PointSampledMaskLoss
from mmrefine.models.sam2_refiner import CoarseMasks, RefinedLogits, SAM2Features, SAM2RefinerCore
from mmrefine.models.sam2_refiner.base import prompt_masks, stage_channels

from .features import CachedFeatures
from .prompts import box_prompts, point_prompts
from .training import Log, Progress, set_learning_rate

# Table 4 of SAM2Refiner, and a control: Mask Refinement alone.
VARIANTS = {
    'LA': dict(pr=None, mr=None),
    'LA+PR': dict(mr=None),
    'LA+MR': dict(pr=None),
    'PR+MR': dict(la=None),
    'LA+PR+MR': dict(),
    'MR': dict(la=None, pr=None),
}
_PEAK_LR = 1e-3
_AUX_WEIGHT = 0.3
_LOSS = PointSampledMaskLoss(num_points=2048)


def build_variants(base: nn.Module, seed: int) -> nn.ModuleDict:
    """Untrained cores, which answer what the base does (``init='identity'``)."""
    cores = nn.ModuleDict()
    for name, switches in VARIANTS.items():
        torch.manual_seed(seed)
        cores[name] = SAM2RefinerCore(base.hidden_dim, stage_channels(base), init='identity', **switches)
    return cores


def answer(
    base: nn.Module, core: SAM2RefinerCore, features: SAM2Features, points: Tensor, labels: Tensor, plain: CoarseMasks
) -> RefinedLogits:
    """Full-size logits of a variant; ``plain`` is the base's own answer to the same prompts.

    Features without quadrants pass Localization Augment by.
    """
    coarse = plain
    if core.la is not None and features.local is not None:
        embedding = core.augment(features.embedding, features.local)
        coarse = prompt_masks(base, embedding, features.fine, points, labels)
    return core(
        coarse.state,
        points,
        labels,
        coarse.logits,
        coarse.mask_index,
        features.stages,
        features.fine,
        features.image,
        base.sam_mask_decoder,
    )


def train_variants(
    base: nn.Module,
    cached: CachedFeatures,
    path: Path,
    steps: int,
    seconds: float,
    seed: int,
    log: Log = print,
    batch: int = 16,
) -> tuple[nn.ModuleDict, Progress]:
    """Train all variants.

    Args:
        base: frozen.
        cached: features of the images to train on.
        path: checkpoint, from which a killed training goes on.
        steps, seconds: of all variants together; the training ends at the first of the two.
        seed: decides the weights at the start and, with the number of the step, all draws.
    """
    cores = build_variants(base, seed)
    optimizers = {name: torch.optim.Adam(core.parameters(), _PEAK_LR) for name, core in cores.items()}
    stateful = {'cores': cores, **{f'optimizer {name}': optimizer for name, optimizer in optimizers.items()}}
    progress = Progress(path, steps, seconds, stateful)
    cores.train()
    while not progress.done:
        rng = np.random.default_rng([seed, progress.step])
        chosen = rng.integers(len(cached.pool), size=batch)
        masks = cached.pool.masks[chosen]
        draw = box_prompts if rng.random() < 0.5 else point_prompts
        points, labels = draw(masks, rng)
        step_seed = int(rng.integers(2**62))
        features, gt = cached.take(chosen), torch.from_numpy(masks)[:, None].float()
        with torch.no_grad():
            plain = prompt_masks(base, features.embedding, features.fine, points, labels)
        losses = {}
        for name, core in cores.items():
            loss = _loss(answer(base, core, features, points, labels, plain), gt, step_seed)
            set_learning_rate(optimizers[name], progress.learning_rate(_PEAK_LR))
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            losses[name] = loss.item()
        if progress.step % 50 == 0:
            shown = ', '.join(f'{name} {value:.3f}' for name, value in losses.items())
            log(f'variants, seed {seed}: step {progress.step}, {progress.seconds:.0f} s, loss {shown}')
        progress.advance()
    return cores.eval(), progress


def _loss(refined: RefinedLogits, gt: Tensor, seed: int) -> Tensor:
    """Equation 3 of SAM2Refiner: the final mask, and with a smaller weight those of the blocks."""
    generators = [torch.Generator().manual_seed(seed + k) for k in range(len(gt))]
    loss = sum(_LOSS(refined.logits, gt, generators).values())
    for logits in refined.aux:
        loss = loss + _AUX_WEIGHT * sum(_LOSS(logits, gt, generators).values())
    return loss
