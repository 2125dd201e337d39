"""Prompt of one object for promptable models. Legend: P points, m the side of the model's mask prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

POSITIVE, NEGATIVE, NO_POINT, BOX_CORNERS = 1, 0, -1, (2, 3)


@dataclass(frozen=True)
class ObjectPrompt:
    """Prompt of one object: points, of which a box has two, and an optional mask.

    Attributes:
        point_coords: (P, 2) float32, (x, y) in pixels of the model's input; P is at least 1.
        point_labels: (P,) int32: 1 positive, 0 negative, 2 and 3 the corners of a box, -1 no point.
        mask_input: (1, m, m) float32 logits, or None.
    """

    point_coords: Tensor
    point_labels: Tensor
    mask_input: Tensor | None = None

    @classmethod
    def of(
        cls,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
    ) -> ObjectPrompt:
        """Build a prompt from lists, arrays or tensors.

        A box becomes two points before the others. A mask alone gets a point with label -1, since prompts of SAM 2 in
        tracking always have points.

        Args:
            points, labels: (P, 2) and (P,), given together.
            box: (4,), (x1, y1, x2, y2).
            mask_input: (1, m, m) logits.

        Raises:
            ValueError: an empty prompt, points without labels, wrong shapes, NaN, or an unknown label.
        """
        if (points is None) != (labels is None):
            raise ValueError('points and labels must be given together.')
        coords = torch.zeros(0, 2) if points is None else torch.as_tensor(points, dtype=torch.float32)
        kinds = torch.zeros(0, dtype=torch.int32) if labels is None else torch.as_tensor(labels, dtype=torch.int32)
        if coords.ndim != 2 or coords.shape[1] != 2 or kinds.shape != coords.shape[:1]:
            raise ValueError(
                f'expected points (P, 2) and labels (P,), got {tuple(coords.shape)} and {tuple(kinds.shape)}.'
            )
        if not torch.isin(kinds, kinds.new_tensor([POSITIVE, NEGATIVE, NO_POINT, *BOX_CORNERS])).all():
            raise ValueError(
                f'labels must be 1 (object) or 0 (background), 2 and 3 for the corners of a box, -1 for no point, '
                f'got {kinds.tolist()}.'
            )
        if box is not None:
            corners = torch.as_tensor(box, dtype=torch.float32)
            if corners.shape != (4,):
                raise ValueError(f'box must be (x1, y1, x2, y2), got shape {tuple(corners.shape)}.')
            coords = torch.cat([corners.view(2, 2), coords])
            kinds = torch.cat([torch.tensor(BOX_CORNERS, dtype=torch.int32), kinds])
        if mask_input is not None:
            mask_input = torch.as_tensor(mask_input, dtype=torch.float32)
            if mask_input.ndim != 3 or mask_input.shape[0] != 1:
                raise ValueError(f'mask_input must have shape (1, m, m), got {tuple(mask_input.shape)}.')
        if not len(coords):
            if mask_input is None:
                raise ValueError('the prompt is empty: give points with labels, a box or a mask.')
            coords, kinds = torch.zeros(1, 2), torch.tensor([NO_POINT], dtype=torch.int32)
        if not coords.isfinite().all() or (mask_input is not None and not mask_input.isfinite().all()):
            raise ValueError('the prompt contains NaN or infinite values; expected pixels and logits.')
        return cls(coords, kinds, mask_input)

    def scaled(self, scale_x: float, scale_y: float) -> ObjectPrompt:
        """The same prompt on an image of another size."""
        return replace(self, point_coords=self.point_coords * self.point_coords.new_tensor([scale_x, scale_y]))

    def to(self, device: Any = None, *_: Any, **__: Any) -> ObjectPrompt:
        """The same prompt on another device; other arguments of ``Tensor.to`` are ignored."""
        return ObjectPrompt(
            self.point_coords.to(device),
            self.point_labels.to(device),
            None if self.mask_input is None else self.mask_input.to(device),
        )
