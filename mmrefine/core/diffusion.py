"""The discrete diffusion over pixel states of SegRefiner (NeurIPS 2023, section 3).

Every pixel is either in the *fine* state, with the value of the ground-truth mask, or in the *coarse* state, with the
value of the coarse mask. The forward process moves pixels from fine to coarse. In the reverse process a network
predicts the ground-truth mask, and pixels move from coarse to fine where its prediction is confident.

Legend: B masks, h and w the network's input size, T timesteps, t = 0 .. T-1. At t = T-1 every pixel is coarse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiffusionSchedule:
    """Linear noise schedule; :meth:`add_noise` and :meth:`step` correspond to those of diffusers' schedulers.

    Args:
        num_steps: number T of timesteps, at least 2.
        first, last: probability that a pixel is still fine after timestep 0 and T-1; 0.8 and 0 in the paper (T = 6).

    Raises:
        ValueError: fewer than two timesteps, or probabilities that do not decrease.
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
        """(T,) float64: the probability of the fine state after timestep t."""
        return torch.linspace(self.first, self.last, self.num_steps, dtype=torch.float64)

    @property
    def previous_fine_probs(self) -> Tensor:
        """(T,) float64: the probability of the fine state before timestep t, 1 at t = 0."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.fine_probs[:-1]])

    def add_noise(self, fine: Tensor, coarse: Tensor, timesteps: Tensor, uniform: Tensor) -> Tensor:
        """Forward process: sample x_t, the ground truth with a fraction of its pixels coarse (equation 4).

        Args:
            fine, coarse: (B, 1, h, w), the ground-truth and the coarse masks.
            timesteps: (B,) int64.
            uniform: (B, 1, h, w) samples of U(0, 1).

        Returns:
            (B, 1, h, w), the dtype of ``fine``.
        """
        threshold = self.fine_probs.to(uniform)[timesteps].view(-1, 1, 1, 1)
        return torch.where(uniform < threshold, fine, coarse)

    def step(
        self,
        logits: Tensor,
        timestep: int,
        fine_probs: Tensor,
        next_timestep: int | None = None,
        confidence_power: float = 1.0,
    ) -> Tensor:
        """One step of the reverse process: update the probability of the fine state (equation 8).

        Args:
            logits: (B, 1, h, w), the network's prediction of the ground-truth masks at ``timestep``.
            timestep: the timestep of the prediction.
            fine_probs: (B, 1, h, w) in [0, 1], before this step.
            next_timestep: the timestep that follows; None: ``timestep - 1``.
            confidence_power: exponent of the confidence; 1 as in the paper, 0 treats every prediction as certain.

        Returns:
            (B, 1, h, w), ``fine_probs`` after this step.
        """
        fine_t = float(self.fine_probs[timestep])
        fine_next = float(
            self.previous_fine_probs[timestep] if next_timestep is None else self.fine_probs[next_timestep]
        )
        confidence = (2 * (logits.sigmoid() - 0.5).abs()) ** confidence_power
        becomes_fine = confidence * (fine_next - fine_t) / (1 - confidence * fine_t)
        return fine_probs + (1 - fine_probs) * becomes_fine


class ReverseResult(NamedTuple):
    """Output of the reverse process, each (B, 1, h, w).

    Attributes:
        result: probabilities predicted at the last timestep.
        fine_probs: probabilities of the fine state after the last timestep.
        first: probabilities predicted at the first timestep, from the coarse masks alone.
    """

    result: Tensor
    fine_probs: Tensor
    first: Tensor


def reverse_process(
    schedule: DiffusionSchedule,
    denoise: Callable[[Tensor, Tensor], Tensor],
    coarse: Tensor,
    timesteps: Sequence[int],
    uniform: Callable[[], Tensor],
    confidence_power: float = 1.0,
) -> ReverseResult:
    """Sampling loop that starts from the coarse masks.

    Args:
        schedule: the noise schedule.
        denoise: (x_t (B, 1, h, w) float, t (B,) int64) -> logits (B, 1, h, w) of the ground-truth masks.
        coarse: (B, 1, h, w), 0 or 1.
        timesteps: the timesteps to run, descending; some may be skipped.
        uniform: returns (B, 1, h, w) samples of U(0, 1); called once for every timestep but the last.
        confidence_power: see :meth:`DiffusionSchedule.step`.
    """
    coarse = coarse.float()
    x_t, fine_probs, first = coarse, torch.zeros_like(coarse), None
    for t, t_next in zip(timesteps, [*timesteps[1:], None], strict=True):
        logits = denoise(x_t, torch.full((len(coarse),), t, dtype=torch.long, device=coarse.device)).float()
        first = logits.sigmoid() if first is None else first
        fine_probs = schedule.step(logits, t, fine_probs, t_next, confidence_power)
        if t_next is not None:
            x_t = torch.where(uniform() < fine_probs, (logits >= 0).float(), coarse)
    return ReverseResult(logits.sigmoid(), fine_probs, first)
