"""Stage 1: the base learns coarse masks from boxes and points, so that there is something left to refine."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrefine.models.losses import PointSampledMaskLoss

from .pool import Pool
from .prompts import box_prompts, point_prompts
from .training import Log, Progress, normalize, set_learning_rate

_COARSENESS = 4  # ground truth is averaged over cells of so many pixels: the grid of SAM 2's own mask logits
_MAX_GRADIENT = 1.0
# At first the decoder sees prompts and no image; otherwise it learns what stands out, and to ignore prompts.
_BLIND_SHARE = 0.06
_LOSS = PointSampledMaskLoss(mode='full')


def coarse_gt(masks: Tensor) -> Tensor:
    """What the base is trained on: (B, 1, S, S) masks, each cell of S/4 x S/4 the majority of its pixels."""
    return (F.avg_pool2d(masks.float(), _COARSENESS) > 0.5).float()


def base_logits(base: nn.Module, features: list[Tensor], points: Tensor, labels: Tensor) -> Tensor:
    """Mask logits (B, 1, S/4, S/4) of B objects on B images, from what ``forward_image`` returns."""
    fine, middle, coarse = features
    sparse, dense = base.sam_prompt_encoder(points=(points, labels), boxes=None, masks=None)
    return base.sam_mask_decoder(
        image_embeddings=coarse + base.no_mem_embed.view(1, -1, 1, 1),
        image_pe=base.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
        repeat_image=False,
        high_res_features=[fine, middle],
    )[0]


def train_base(
    base: nn.Module,
    pool: Pool,
    path: Path,
    steps: int,
    seconds: float,
    log: Log = print,
    batch: int = 8,
    peak_lr: float = 1e-3,
    seed: int = 0,
) -> Progress:
    """Train the image encoder, prompt encoder and mask decoder; the memory of video stays random.

    Args:
        base: of :func:`mmrefine.models.sam2_refiner.build_base`; holds the trained weights in the end.
        pool: images to train on.
        path: checkpoint, from which a killed training goes on.
        steps, seconds: the training ends at the first of the two.
        batch: B; each image is encoded once and prompted by its box and twice by points.
        seed: decides, with the number of the step, all draws.
    """
    base.requires_grad_(True).train()
    parts = (base.image_encoder, base.sam_prompt_encoder, base.sam_mask_decoder)
    parameters = [parameter for part in parts for parameter in part.parameters()] + [base.no_mem_embed]
    optimizer = torch.optim.AdamW(parameters, peak_lr, weight_decay=0.01, fused=True)
    progress = Progress(path, steps, seconds, {'base': base, 'optimizer': optimizer})
    while not progress.done:
        rng = np.random.default_rng([seed, progress.step])
        images, masks = _draw_batch(pool, batch, rng)
        gt = coarse_gt(torch.from_numpy(masks)[:, None])
        prompts = [draw(masks, rng) for draw in (box_prompts, point_prompts, point_prompts)]
        is_blind = progress.share < _BLIND_SHARE
        features = _no_features(base, batch) if is_blind else base.forward_image(normalize(images))['backbone_fpn']
        losses = [_LOSS(base_logits(base, features, *prompt), gt) for prompt in prompts]
        loss = sum(sum(parts.values()) for parts in losses) / len(losses)
        set_learning_rate(optimizer, progress.learning_rate(peak_lr))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT)
        optimizer.step()
        if progress.step % 100 == 0:
            log(f'base: step {progress.step}, {progress.seconds:.0f} s, loss {loss.item():.3f}')
        progress.advance()
    base.requires_grad_(False).eval()
    return progress


def _no_features(base: nn.Module, batch: int) -> list[Tensor]:
    """Zeros of the shapes that ``forward_image`` gives."""
    width, side = base.hidden_dim, base.image_size
    return [torch.zeros(batch, width // k, side // s, side // s) for k, s in ((8, 4), (4, 8), (1, 16))]


def _draw_batch(pool: Pool, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks, moved and mirrored at random, each channel with another gain and offset."""
    chosen = rng.integers(len(pool), size=batch)
    moved = [_move(pool.images[k], pool.masks[k], rng) for k in chosen]
    images, masks = (np.stack(part) for part in zip(*moved, strict=True))
    gain, offset = rng.uniform(0.8, 1.2, (batch, 1, 1, 3)), rng.uniform(-20, 20, (batch, 1, 1, 3))
    return (images * gain + offset).clip(0, 255).astype(np.uint8), masks


def _move(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turn, zoom, shift and mirror; as it was if the object would leave the image."""
    size = len(mask)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-15, 15), rng.uniform(0.8, 1.25))
    matrix[:, 2] += rng.uniform(-0.1, 0.1, 2) * size
    if rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size - 1
    moved = cv2.warpAffine(mask.astype(np.float32), matrix, (size, size)) >= 0.5
    if not moved.any():
        return image, mask
    return cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101), moved
