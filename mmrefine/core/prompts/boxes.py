"""Context-aware elastic boxes, CEBox (SAMRefiner, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from mmrefine.core.prompts.distance import DistanceField
from mmrefine.core.prompts.frame import InputFrame

_STEP_SHARE, _STEP_PX = 0.1, 10
_CHANNELS_AT_ONCE = 16


def context_similarity(
    embedding: torch.Tensor, fields: Sequence[DistanceField], frame: InputFrame, released_behaviour: bool = False
) -> np.ndarray:
    """Cosine similarity of every location of the image embedding with the mean embedding under each mask.

    The mean is weighted by the fraction of each cell that the mask covers, so that small masks do not vanish.
    With ``released_behaviour`` it is the plain mean over cells that lie entirely on the image and whose nearest pixel
    is in the mask; a mask without such a cell has similarity 0 everywhere. Also, the embedding instead of the
    similarity is upsampled to the image, in one step.

    Args:
        embedding: (C, h, w) image embedding, on any device.
        fields: distance fields of N masks.
        frame: position of the image in the model's input.

    Returns:
        (N, h, w) float32 in [-1, 1]; with ``released_behaviour`` (N, H, W).

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from mmrefine.core.prompts import InputFrame, distance_fields
        >>> masks = np.zeros((1, 8, 8), bool)
        >>> masks[0, :, :4] = True
        >>> embedding = torch.eye(2)[:, None].repeat_interleave(2, 2).expand(2, 4, 4)  # left and right half differ
        >>> frame = InputFrame((8, 8), (8, 8), (8, 8))
        >>> similarity = context_similarity(embedding, distance_fields(masks), frame)
        >>> [round(float(value), 1) for value in similarity[0, 0]]
        [1.0, 1.0, 0.1, 0.1]
    """
    grid_hw = tuple(embedding.shape[1:])
    if released_behaviour:
        grid_hw = frame.valid_hw(grid_hw)
        rows, columns = frame.nearest_sampling(grid_hw)
        embedding = embedding[:, : grid_hw[0], : grid_hw[1]]
    else:
        rows, columns = frame.sampling(grid_hw, antialias=True)
    cover = np.stack(
        [rows[:, f.window[0]] @ f.mask.astype(np.float32) @ columns[:, f.window[1]].T for f in fields]
    ).reshape(len(fields), -1)
    locations = embedding.flatten(1).float()
    cover = torch.from_numpy(cover).to(locations.device)
    means = cover @ locations.T / cover.sum(1, keepdim=True).clamp(min=1e-6)
    if not released_behaviour:
        locations = F.normalize(locations, dim=0)
    similarity = (F.normalize(means, dim=1) @ locations).reshape(len(fields), *grid_hw)
    if released_behaviour:
        similarity = _to_image(similarity, frame) / _norm_on_image(embedding.float(), frame)
    return similarity.cpu().numpy()


def _to_image(maps: torch.Tensor, frame: InputFrame) -> torch.Tensor:
    """Upsample (N, h, w) maps that cover exactly the image to (N, H, W)."""
    return F.interpolate(maps[None], frame.image_hw, mode='bilinear', align_corners=False)[0]


def _norm_on_image(embedding: torch.Tensor, frame: InputFrame) -> torch.Tensor:
    """(H, W) norm of the upsampled embedding (C, h, w); computed a few channels at a time to bound memory."""
    squares = (_to_image(channels, frame).square_().sum(0) for channels in embedding.split(_CHANNELS_AT_ONCE))
    return sum(squares).sqrt_()


def elastic_boxes(
    boxes_xyxy: np.ndarray,
    similarity: np.ndarray,
    frame: InputFrame,
    margin: float,
    *,
    via_hw: tuple[int, int],
    threshold: float = 0.5,
    released_behaviour: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Move each side of each box outward by one step where the strip gained is similar to the mask.

    A step is 10 % of the box along that axis, at least 1 and at most 10 pixels, and ends at the image border. A side
    moves if more than a fraction ``margin`` of the pixels gained have a similarity above ``threshold``.
    With ``released_behaviour``, similarity is given at the resolution of the image; lengths are differences of
    inclusive indices, so that a box one pixel wide never grows; strips lack the last row and column of the box; a step
    that would reach the first row or column or leave the image is not taken.

    Args:
        boxes_xyxy: (N, 4) int, inclusive pixel indices.
        similarity: (N, h, w), or (N, H, W), of :func:`context_similarity` with the same ``released_behaviour``.
        frame: position of the image in the model's input.
        margin: lambda of the paper, in [0, 1]; 0.1 there.
        via_hw: size of the model's low-resolution masks, via which similarity is upsampled to the image.
        threshold: similarity above which a pixel belongs to the context of the mask, in [-1, 1].

    Returns:
        the boxes (N, 4) int64, and (N,) bool, whether any side moved.

    Example:
        >>> import numpy as np
        >>> from mmrefine.core.prompts import InputFrame
        >>> similarity = np.ones((1, 8, 8), np.float32)  # everything looks like the mask
        >>> frame = InputFrame((32, 32), (32, 32), (32, 32))
        >>> boxes, moved = elastic_boxes(np.array([[10, 10, 19, 19]]), similarity, frame, 0.1, via_hw=(8, 8))
        >>> boxes.tolist(), moved.tolist()
        ([[9, 9, 20, 20]], [True])
    """
    strips_of = _released_strips if released_behaviour else _strips
    rows, columns = (None, None) if released_behaviour else frame.upsampling(similarity.shape[1:], via_hw)
    boxes = boxes_xyxy.astype(np.int64)
    moved = boxes.copy()
    for box, target, grid in zip(boxes, moved, similarity, strict=True):
        for side, (position, y, x) in strips_of(box, frame.image_hw).items():
            strip = grid[y, x] if released_behaviour else rows[y] @ grid @ columns[x].T
            if strip.size and (strip > threshold).mean() > margin:
                target[side] = position
    return moved, (moved != boxes).any(axis=1)


def _strips(box: np.ndarray, image_hw: tuple[int, int]) -> dict[int, tuple[int, slice, slice]]:
    """New coordinate of each side by its index in the box (0 to 3), with the rows and columns gained."""
    x1, y1, x2, y2 = (int(v) for v in box)
    height, width = image_hw
    step_x, step_y = (int(np.clip(_STEP_SHARE * side, 1, _STEP_PX)) for side in (x2 - x1 + 1, y2 - y1 + 1))
    left, top = max(x1 - step_x, 0), max(y1 - step_y, 0)
    right, bottom = min(x2 + step_x, width - 1), min(y2 + step_y, height - 1)
    across_y, across_x = slice(y1, y2 + 1), slice(x1, x2 + 1)
    return {
        0: (left, across_y, slice(left, x1)),
        1: (top, slice(top, y1), across_x),
        2: (right, across_y, slice(x2 + 1, right + 1)),
        3: (bottom, slice(y2 + 1, bottom + 1), across_x),
    }


def _released_strips(box: np.ndarray, image_hw: tuple[int, int]) -> dict[int, tuple[int, slice, slice]]:
    """:func:`_strips` with the indices of the authors' code; sides that must not move are missing."""
    x1, y1, x2, y2 = (int(v) for v in box)
    height, width = image_hw
    step_x, step_y = min(_STEP_SHARE * (x2 - x1), _STEP_PX), min(_STEP_SHARE * (y2 - y1), _STEP_PX)
    left, top, right, bottom = int(x1 - step_x), int(y1 - step_y), int(x2 + step_x), int(y2 + step_y)
    across_y, across_x = slice(y1, y2), slice(x1, x2)
    strips = {
        0: (left, across_y, slice(max(left, 0), x1)),
        1: (top, slice(max(top, 0), y1), across_x),
        2: (right, across_y, slice(x2, right)),
        3: (bottom, slice(y2, bottom), across_x),
    }
    inside = {0: left > 0, 1: top > 0, 2: right < width, 3: bottom < height}
    return {side: strip for side, strip in strips.items() if inside[side]}
