"""The discrete diffusion over pixel states of SegRefiner (NeurIPS 2023, section 3).

Every pixel is in the *fine* state, where it shows the ground-truth mask, or in the *coarse* state, where it shows the
given one. The forward process turns fine pixels coarse; the reverse process asks a network for the ground-truth mask
and turns coarse pixels fine where the network is sure.

Legend: B masks, h and w the size at which the network works, T steps, t = 0 .. T-1. At t = T-1 every pixel is coarse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiffusionSchedule:
    """Cumulative probabilities that a pixel is still fine after step t, falling from ``first`` to ``last``.

    Args:
        num_steps: T, at least 2.
        first, last: ends of the linear schedule; the paper's are 0.8 and 0, with T = 6.
    """

    num_steps: int = 6
    first: float = 0.8
    last: float = 0.0

    def __post_init__(self) -> None:
        if self.num_steps < 2 or not 0 <= self.last < self.first <= 1:
            raise ValueError(
                'a diffusion schedule needs num_steps >= 2 and 0 <= last < first <= 1, '
                f'got num_steps={self.num_steps}, first={self.first}, last={self.last}.'
            )

    @property
    def fine_probs(self) -> Tensor:
        """(T,) float64: the probability of the fine state after step t."""
        return torch.linspace(self.first, self.last, self.num_steps, dtype=torch.float64)

    @property
    def previous_fine_probs(self) -> Tensor:
        """(T,) float64: the same before step t, 1 at t = 0."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.fine_probs[:-1]])


def forward_sample(schedule: DiffusionSchedule, fine: Tensor, coarse: Tensor, t: Tensor, uniform: Tensor) -> Tensor:
    """Draw x_t, the mask with a part of its pixels turned coarse (equation 4).

    Args:
        fine, coarse: (B, 1, h, w), the true and the given masks.
        t: (B,) int64 steps.
        uniform: (B, 1, h, w) draws of U(0, 1).

    Returns:
        (B, 1, h, w) of the dtype of ``fine``.
    """
    threshold = schedule.fine_probs.to(uniform)[t].view(-1, 1, 1, 1)
    return torch.where(uniform < threshold, fine, coarse)


def reverse_fine_probs(
    schedule: DiffusionSchedule,
    logits: Tensor,
    fine_probs: Tensor,
    t: int,
    t_next: int | None = None,
    confidence_power: float = 1.0,
) -> Tensor:
    """Raise the probability that a pixel is fine by what the network is sure of (equation 8).

    Args:
        logits: (B, 1, h, w), the network's estimate of the ground-truth mask at step t.
        fine_probs: (B, 1, h, w) in [0, 1], before this step.
        t_next: the step that follows; None: t - 1.
        confidence_power: exponent of the confidence; 1 is the paper, 0 follows the network also where it is unsure.
    """
    fine_t = float(schedule.fine_probs[t])
    fine_prev = float(schedule.previous_fine_probs[t] if t_next is None else schedule.fine_probs[t_next])
    confidence = (2 * (logits.sigmoid() - 0.5).abs()) ** confidence_power
    becomes_fine = confidence * (fine_prev - fine_t) / (1 - confidence * fine_t)
    return fine_probs + (1 - fine_probs) * becomes_fine


class ReverseResult(NamedTuple):
    """What the reverse process leaves, each (B, 1, h, w).

    Attributes:
        result: probabilities of the last step, or its sampled mask.
        fine_probs: probabilities of the fine state after it.
        first: probabilities of the first step: the network's prediction before it has seen anything of its own.
    """

    result: Tensor
    fine_probs: Tensor
    first: Tensor


def reverse_process(
    schedule: DiffusionSchedule,
    denoise: Callable[[Tensor, Tensor], Tensor],
    coarse: Tensor,
    steps: Sequence[int],
    uniform: Callable[[], Tensor],
    fine_probs: Tensor | None = None,
    confidence_power: float = 1.0,
) -> ReverseResult:
    """Run the given steps of the reverse process from the coarse masks.

    Args:
        denoise: (x_t (B, 1, h, w) float, t (B,) int64) -> logits (B, 1, h, w) of the ground-truth masks.
        coarse: (B, 1, h, w), 0 or 1.
        steps: the steps t to run, falling; some may be left out.
        uniform: called once for every sampled step: (B, 1, h, w) draws of U(0, 1).
        fine_probs: (B, 1, h, w) to go on from; None starts at 0.
        confidence_power: see :func:`reverse_fine_probs`.
    """
    coarse = coarse.float()
    x_t, first = coarse, None
    fine_probs = torch.zeros_like(coarse) if fine_probs is None else fine_probs
    for t, t_next in zip(steps, [*steps[1:], None], strict=True):
        logits = denoise(x_t, torch.full((len(coarse),), t, dtype=torch.long, device=coarse.device)).float()
        first = logits.sigmoid() if first is None else first
        fine_probs = reverse_fine_probs(schedule, logits, fine_probs, t, t_next, confidence_power)
        if t_next is not None:
            x_t = torch.where(uniform() < fine_probs, (logits >= 0).float(), coarse)
    return ReverseResult(logits.sigmoid(), fine_probs, first)
