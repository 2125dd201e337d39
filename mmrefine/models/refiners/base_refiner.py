"""Base class of all refiners."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel

from mmrefine.core.checks import check_image, check_masks
from mmrefine.core.gate import QualityGate, gate_features, resolve_gate
from mmrefine.structures import RefineDataSample, RefineResult


@dataclass(frozen=True)
class RefineInput:
    """Input of a refiner: an image and its coarse masks. Legend: N masks, H and W in pixels.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) or (H, W); bool, binary integers, or float probabilities in [0, 1].
        labels: (N,) int class indices, if the refiner uses them.
        scores: (N,) float confidence of the coarse masks, if the refiner uses it.
        generator: CPU generator of the random numbers for this image; None: one with seed 0.
    """

    image: np.ndarray
    masks: np.ndarray
    labels: np.ndarray | None = None
    scores: np.ndarray | None = None
    generator: torch.Generator | None = None


class Proposal(NamedTuple):
    """Proposed masks of a refiner for one image, before the gate.

    Attributes:
        masks: (N, H, W) bool.
        scores: (N,) estimated IoU of the proposals with the ground truth, in [0, 1].
        coarse_scores: (N,) the same estimate for the coarse masks, if the refiner provides it.
        evidence: further features for the gate, (N,) each by name, see :mod:`mmrefine.core.gate`.
        refusals: N strings: why there is no proposal for a mask, whose coarse mask is then kept; '' if there is one.
    """

    masks: np.ndarray
    scores: np.ndarray
    coarse_scores: np.ndarray | None = None
    evidence: Mapping[str, np.ndarray] | None = None
    refusals: Sequence[str] | None = None


class BaseRefiner(BaseModel, metaclass=ABCMeta):
    """Base class of refiners, which refine the coarse masks of an image and rate the refined masks.

    Subclasses implement :meth:`_refine_batch`; this class validates inputs and proposals, and applies the gate. Empty
    masks, and images without masks, are not passed to the subclass.

    Args:
        gate: keyword arguments of :class:`~mmrefine.core.gate.QualityGate`; None accepts every non-empty proposal.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.
    """

    def __init__(self, gate: dict | None = None, data_preprocessor: dict | None = None, init_cfg: dict | None = None):
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.gate = QualityGate(**gate) if gate else None

    @classmethod
    def config_for_checkpoint(cls, config: dict) -> dict:
        """Config without pretrained weights that a checkpoint, loaded later, replaces."""
        return config

    def with_gate(self, gate: bool | Mapping) -> BaseRefiner:
        """Shallow copy of this refiner with another gate and the same weights.

        Args:
            gate: True: this refiner's gate; False: no gate; a dict: this refiner's gate with these settings changed.
        """
        resolved = resolve_gate(self.gate, gate)
        if resolved == self.gate:
            return self
        view = copy.copy(self)
        view.gate = resolved
        return view

    @property
    def device(self) -> torch.device:
        """Device of the weights; the CPU if there are none."""
        return next((parameter.device for parameter in self.parameters()), torch.device('cpu'))

    def refine(
        self,
        image: np.ndarray,
        masks: np.ndarray,
        *,
        labels: np.ndarray | None = None,
        scores: np.ndarray | None = None,
        generator: torch.Generator | None = None,
    ) -> RefineResult:
        """Refine the masks of one image; the arguments are those of :class:`RefineInput`.

        Raises:
            TypeError, ValueError: image or masks are invalid, see :class:`RefineInput`.
        """
        return self.refine_batch([RefineInput(image, masks, labels, scores, generator)])[0]

    @torch.no_grad()
    def refine_batch(self, inputs: Sequence[RefineInput]) -> list[RefineResult]:
        """Refine the masks of several images; results do not depend on what else is in the batch."""
        checked = [self._check(item) for item in inputs]
        kept = [_not_empty(item.masks) for item in checked]
        work = [
            RefineInput(
                item.image,
                item.masks[keep],
                None if item.labels is None else item.labels[keep],
                None if item.scores is None else item.scores[keep],
                item.generator if item.generator is not None else torch.Generator().manual_seed(0),
            )
            for item, keep in zip(checked, kept, strict=True)
        ]
        busy = [item for item in work if len(item.masks)]
        was_training = self.training
        self.eval()
        try:
            proposals = iter(self._check_proposals(self._refine_batch(busy), busy) if busy else [])
        finally:
            self.train(was_training)
        return [
            self._assemble(item.masks, keep, next(proposals) if keep.any() else None)
            for item, keep in zip(checked, kept, strict=True)
        ]

    @abstractmethod
    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[Proposal]:
        """Propose refined masks.

        Args:
            inputs: validated inputs; N is at least 1, masks are (N, H, W) bool and not empty, the generator is set.
        """

    def predict(self, inputs: Sequence[torch.Tensor], data_samples: Sequence[RefineDataSample]) -> list:
        """mmengine's ``mode='predict'``: refine ``coarse_masks`` of each sample.

        Args:
            inputs: (3, H, W) uint8 RGB tensor for each image.
            data_samples: samples with ``coarse_masks``; ``refined_masks``, ``scores``, ``accepted`` and
                ``gate_features`` are added.
        """
        items = [
            RefineInput(
                image.permute(1, 2, 0).cpu().numpy(),
                np.asarray(sample.coarse_masks),
                labels=np.asarray(sample.labels) if 'labels' in sample else None,
            )
            for image, sample in zip(inputs, data_samples, strict=True)
        ]
        for sample, result in zip(data_samples, self.refine_batch(items), strict=True):
            sample.refined_masks = result.masks
            sample.scores = result.scores
            sample.accepted = result.accepted
            sample.gate_features = result.features
        return list(data_samples)

    @staticmethod
    def _check(item: RefineInput) -> RefineInput:
        image = check_image(item.image)
        masks = check_masks(item.masks, image.shape[:2])
        arrays = {}
        for name in ('labels', 'scores'):
            value = getattr(item, name)
            if value is not None:
                value = np.asarray(value)
                if value.shape != (len(masks),):
                    raise ValueError(f'{name} must have shape ({len(masks)},), one value per mask, got {value.shape}.')
            arrays[name] = value
        return RefineInput(image, masks, **arrays, generator=item.generator)

    def _check_proposals(self, proposals: Sequence[Proposal], inputs: Sequence[RefineInput]) -> Sequence[Proposal]:
        """Validate the proposals of a subclass."""
        name = type(self).__name__
        if not isinstance(proposals, (list, tuple)) or len(proposals) != len(inputs):
            count = f'{len(proposals)} of them' if isinstance(proposals, (list, tuple)) else type(proposals).__name__
            raise ValueError(f'{name} must return a list of {len(inputs)} proposals, one per image, got {count}.')
        for proposal, item in zip(proposals, inputs, strict=True):
            masks, scores = (
                proposal[:2] if isinstance(proposal, tuple) and len(proposal) >= 2 else (None, type(proposal).__name__)
            )
            if not isinstance(masks, np.ndarray) or masks.dtype != bool or masks.shape != item.masks.shape:
                came = f'{masks.dtype} {masks.shape}' if isinstance(masks, np.ndarray) else type(masks).__name__
                raise ValueError(f'masks proposed by {name} must be bool {item.masks.shape} (N, H, W), got {came}.')
            if not isinstance(scores, np.ndarray) or scores.dtype.kind not in 'fiu' or scores.shape != masks.shape[:1]:
                came = f'{scores.dtype} {scores.shape}' if isinstance(scores, np.ndarray) else type(scores).__name__
                raise ValueError(f'scores by {name} must be numbers of shape {masks.shape[:1]} (N,), got {came}.')
        return proposals

    def _assemble(self, coarse: np.ndarray, keep: np.ndarray, proposal: Proposal | None) -> RefineResult:
        """Insert empty masks again, and apply the gate."""
        coarse = coarse.copy()
        masks, proposals = coarse.copy(), coarse
        proposal_scores, coarse_scores = np.zeros((2, len(coarse)), np.float32)
        accepted = np.zeros(len(coarse), bool)
        reasons = np.full(len(coarse), 'coarse mask is empty', object)
        features: dict[str, np.ndarray] = {}
        if proposal is not None:
            proposal = Proposal(*proposal)
            refusals = proposal.refusals or [''] * len(proposal.scores)
            seen = gate_features(coarse if keep.all() else coarse[keep], *proposal[:4])
            coarse_scores[keep] = (
                np.nan_to_num(proposal.scores) * seen['agreement']
                if proposal.coarse_scores is None
                else proposal.coarse_scores
            )
            reasons[keep] = self._gate_reasons(seen, refusals)
            accepted[keep] = reasons[keep] == ''
            proposal_scores[keep] = proposal.scores
            if keep.all():
                proposals = proposal.masks
            else:
                proposals = coarse.copy()
                proposals[keep] = proposal.masks
            for index in np.flatnonzero(accepted):
                masks[index] = proposals[index]
            asked = np.array([not refusal for refusal in refusals], bool)
            for name, values in seen.items():
                features[name] = np.full(len(coarse), np.nan)
                features[name][keep] = np.where(asked, values, np.nan)
        scores = np.where(accepted, proposal_scores, coarse_scores)
        return RefineResult(
            masks, scores, accepted, coarse, tuple(reasons), proposals, proposal_scores, features, coarse_scores
        )

    def _gate_reasons(self, features: Mapping[str, np.ndarray], refusals: Sequence[str]) -> list[str]:
        """Reasons for keeping coarse masks, by the refiner or the gate; '' for accepted proposals."""
        gate = self.gate or QualityGate()
        return [
            refusal or gate.judge({name: float(values[index]) for name, values in features.items()})
            for index, refusal in enumerate(refusals)
        ]


def _not_empty(masks: np.ndarray) -> np.ndarray:
    """(N,) bool: which of (N, H, W) masks are not empty; a loop, because ``any`` over two axes does not stop early."""
    return np.array([mask.any() for mask in masks], bool)
