"""Refined masks of one image as RLE, as stored in records. Legend: N masks, H and W in pixels.

Rejected proposals are stored too, so that a review can show them and decisions can be changed without refining again.
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
    """One refined mask.

    Attributes:
        rle: the proposal as compressed RLE, ``{'size': [H, W], 'counts': string}``; None if there is none because the
            coarse mask is unusable, empty, not refined, or refused by the refiner.
        proposal_score, coarse_score: the refiner's estimates of the IoU of the proposal and of the coarse mask, in
            [0, 1].
        gain: ``expected_gain`` of the gate's features; None if the refiner does not estimate it.
        accepted: whether the proposal replaces the coarse mask.
        reason: why it does not; '' if it does.
        failed: whether the coarse mask is unusable, for this ``reason``.
        decided: whether a reviewer decided, instead of the gate.
    """

    rle: dict | None = None
    proposal_score: float = 0.0
    coarse_score: float = 0.0
    gain: float | None = None
    accepted: bool = False
    reason: str = ''
    failed: bool = False
    decided: bool = False

    def decode(self) -> np.ndarray:
        """The proposal, (H, W) bool."""
        return decode_segmentation(self.rle, tuple(self.rle['size']))

    @property
    def score(self) -> float:
        """Estimated quality of the mask that goes out."""
        return self.proposal_score if self.accepted else self.coarse_score

    @property
    def area_px(self) -> int:
        """Area of the proposal in pixels."""
        return int(coco_mask.area(self.rle))

    @property
    def box_xywh(self) -> list[float]:
        """Box of the proposal, xywh in pixels."""
        return coco_mask.toBbox(self.rle).tolist()


class RefinedMasks(Sequence):
    """The N refined masks of an image, in the order of the coarse masks.

    Args:
        size_hw: (H, W) of the image.
        items: the masks.
    """

    def __init__(self, size_hw: tuple[int, int], items: Sequence[RefinedMask]):
        self.size_hw, self._items = tuple(size_hw), list(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> RefinedMask:
        return self._items[index]

    def with_decisions(self, decisions: dict[int, bool], reason: str) -> RefinedMasks:
        """A copy with decisions of a reviewer.

        Args:
            decisions: by index of the mask, True accepts the proposal, False keeps the coarse mask.
            reason: reason of masks that are kept.

        Raises:
            ValueError: there is no such mask, or no proposal to accept.
        """
        items = list(self._items)
        for index, accepted in decisions.items():
            if not 0 <= index < len(items):
                raise ValueError(f'there is no mask {index}; the image has {len(items)}.')
            if items[index].rle is None:
                if accepted:
                    raise ValueError(f'mask {index} has no proposal to accept: {items[index].reason.rstrip(".")}.')
                continue  # it is kept, and for a better reason
            items[index] = replace(items[index], accepted=accepted, reason='' if accepted else reason, decided=True)
        return RefinedMasks(self.size_hw, items)

    def proposals_digest(self) -> str:
        """Digest of the proposals, which does not depend on decisions."""
        text = json.dumps([item.rle for item in self._items], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """The masks as JSON values, without defaults."""
        defaults = asdict(RefinedMask())
        items = [{key: value for key, value in asdict(item).items() if value != defaults[key]} for item in self._items]
        return {'size': list(self.size_hw), 'masks': items}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RefinedMasks:
        """The inverse of :meth:`as_json`.

        Raises:
            ValueError: the content is invalid, such as that of another version.
        """
        try:
            height, width = content['size']
            return cls((int(height), int(width)), [RefinedMask(**item) for item in content['masks']])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'the job was started by another version of mmrefine ({error}); start again with --overwrite.'
            ) from error


def encode_results(result: RefineResult) -> list[RefinedMask]:
    """Encode the result of a refiner."""
    gains = result.features.get('expected_gain', [None] * len(result.masks))
    # Of masks that the refiner refused there are no features; what stands for their proposals are the coarse masks.
    was_asked = ~np.isnan(result.features.get('agreement', np.full(len(result), np.nan)))
    return [
        RefinedMask(
            rle=encode_rle(proposal) if asked and proposal.any() else None,
            proposal_score=_number(proposal_score),
            coarse_score=_number(coarse_score),
            gain=None if gain is None or not np.isfinite(gain) else round(float(gain), 6),
            accepted=bool(accepted),
            reason=str(reason),
        )
        for asked, proposal, proposal_score, coarse_score, gain, accepted, reason in zip(
            was_asked,
            result.proposals,
            result.proposal_scores,
            result.coarse_scores,
            gains,
            result.accepted,
            result.reasons,
            strict=True,
        )
    ]


def _number(score: float) -> float:
    """A score as a JSON number; NaN becomes 0."""
    return round(float(score), 6) if np.isfinite(score) else 0.0
