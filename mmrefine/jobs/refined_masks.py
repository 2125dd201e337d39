"""Results of one image with masks as RLE, as they are stored in records.

Proposals are kept whether they were accepted or not, so that a review can show them and another decision can be
applied without refining again. Legend: N masks, H and W in pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mmrefine.core.rle import decode_segmentation, encode_rle
from mmrefine.structures import RefineResult


@dataclass(frozen=True)
class RefinedMask:
    """One mask.

    Attributes:
        rle: the proposal as compressed RLE, ``{'size': [H, W], 'counts': text}``; None where there is none: the coarse
            mask could not be used, was left alone or is empty.
        score: the refiner's estimate of the quality of the mask that goes out, in [0, 1].
        proposal_score: the same of the proposal.
        gain: the quality that the gate expects the proposal to gain; None where the refiner does not estimate it.
        accepted: the proposal replaces the coarse mask.
        reason: why it does not; '' if it does.
        failed: the coarse mask is unusable for this ``reason``.
        decided: a person decided, not the gate.
    """

    rle: dict | None = None
    score: float = 0.0
    proposal_score: float = 0.0
    gain: float | None = None
    accepted: bool = False
    reason: str = ''
    failed: bool = False
    decided: bool = False

    def decode(self) -> np.ndarray:
        """The proposal, (H, W) bool."""
        return decode_segmentation(self.rle, tuple(self.rle['size']))

    @property
    def area_px(self) -> int:
        """Pixels of the proposal."""
        return int(coco_mask.area(self.rle))

    @property
    def box_xywh(self) -> list[float]:
        """Box of the proposal."""
        return coco_mask.toBbox(self.rle).tolist()


class RefinedMasks(Sequence):
    """The N masks of an image, in the order of the coarse ones.

    Args:
        size_hw: (H, W).
        items: the masks.
    """

    def __init__(self, size_hw: tuple[int, int], items: Sequence[RefinedMask]):
        self.size_hw, self._items = tuple(size_hw), list(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> RefinedMask:
        return self._items[index]

    def with_decisions(self, decisions: dict[int, bool], reason: str) -> RefinedMasks:
        """The same with other decisions, by index: True takes the proposal, False keeps the coarse mask.

        Args:
            reason: of masks that are kept.

        Raises:
            ValueError: no such mask, or there is no proposal to take.
        """
        items = list(self._items)
        for index, accepted in decisions.items():
            if not 0 <= index < len(items):
                raise ValueError(f'there is no mask {index}; the image has {len(items)}.')
            if accepted and items[index].rle is None:
                raise ValueError(f'mask {index} has no proposal to accept: {items[index].reason}.')
            score = items[index].proposal_score if accepted else items[index].score
            why = '' if accepted else reason
            items[index] = replace(items[index], accepted=accepted, score=score, reason=why, decided=True)
        return RefinedMasks(self.size_hw, items)

    def proposals_digest(self) -> str:
        """Changes with what is proposed, not with what is decided."""
        text = json.dumps([item.rle for item in self._items], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """In types of JSON."""
        defaults = asdict(RefinedMask())
        items = [{key: value for key, value in asdict(item).items() if value != defaults[key]} for item in self._items]
        return {'size': list(self.size_hw), 'masks': items}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RefinedMasks:
        """What :meth:`as_json` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        height, width = content['size']
        return cls((int(height), int(width)), [RefinedMask(**item) for item in content['masks']])


def encode_results(result: RefineResult) -> list[RefinedMask]:
    """The masks of a refiner's answer."""
    gains = result.features.get('expected_gain', [None] * len(result.masks))
    return [
        RefinedMask(
            rle=encode_rle(proposal) if proposal.any() else None,
            score=_number(score),
            proposal_score=_number(proposal_score),
            gain=None if gain is None or not np.isfinite(gain) else round(float(gain), 6),
            accepted=bool(accepted),
            reason=str(reason),
        )
        for proposal, score, proposal_score, gain, accepted, reason in zip(
            result.proposals, result.scores, result.proposal_scores, gains, result.accepted, result.reasons, strict=True
        )
    ]


def _number(score: float) -> float:
    """A score as a JSON number; NaN becomes 0."""
    return round(float(score), 6) if np.isfinite(score) else 0.0
