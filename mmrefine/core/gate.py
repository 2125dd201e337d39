"""The do-no-harm gate: accept a proposed mask or keep the coarse one. Legend: N masks, H and W in pixels.

It decides on evidence that needs no ground truth, numbers between about 0 and 1:

================== =====================================================================================================
``score``          the refiner's estimate of the proposal's IoU with the ground truth
``expected_gain``  ``score`` less the refiner's estimate of the same for the coarse mask
``agreement``      IoU of proposal and coarse mask
``area_ratio``     area of the proposal over that of the coarse mask
``relative_size``  square root of the coarse mask's share of the image
``sharpness``      how sure the refiner is along the proposal's boundary, see
                   :func:`~mmrefine.core.expected_iou.boundary_sharpness`
``stability``      IoU of what the refiner said first and last
================== =====================================================================================================

The first two of the masks alone are always there, and so is ``score``; the others where the refiner has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mmrefine.core.iou import binary_iou

FEATURES = ('score', 'expected_gain', 'agreement', 'area_ratio', 'relative_size', 'sharpness', 'stability')
# Settings that are the minimum of a feature, in the order in which they are checked, and the reasons for masks below.
_MINIMUMS = {
    'min_score': ('score', 'score too low'),
    'min_gain': ('expected_gain', 'expected gain too small'),
    'min_agreement': ('agreement', 'overlap with the coarse mask too small'),
    'min_sharpness': ('sharpness', 'boundary too uncertain'),
    'min_stability': ('stability', 'change between steps too large'),
}
_TOO_SMALL, _TOO_LARGE = 'too small relative to the coarse mask', 'too large relative to the coarse mask'
_UNLIKELY = 'improvement too unlikely'
# What a bound that is met in all digits that anybody reads may lack.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class QualityGate:
    """Gate on the features of each mask; a setting of None is not checked.

    Args:
        min_score, min_gain, min_agreement, min_sharpness, min_stability: minimum ``score``, ``expected_gain``,
            ``agreement``, ``sharpness`` and ``stability``.
        area_ratio: min and max ``area_ratio``.
        weights, bias: of a logistic model that estimates the probability that a proposal helps: features by name, as
            :func:`logistic_input` puts them, times their weights, and ``bias``. Fitted by
            ``tools/analysis_tools/calibrate_gate.py``.
        min_probability: minimum probability by it.

    Raises:
        ValueError: settings that do not fit each other.
    """

    min_score: float | None = None
    min_gain: float | None = None
    min_agreement: float | None = None
    min_sharpness: float | None = None
    min_stability: float | None = None
    area_ratio: tuple[float, float] | None = None
    weights: Mapping[str, float] | None = None
    bias: float = 0.0
    min_probability: float | None = None

    def __post_init__(self) -> None:
        if self.area_ratio is not None:
            low, high = self.area_ratio
            if not 0 <= low <= high:
                raise ValueError(f'area_ratio must be (min, max), got {self.area_ratio}.')
        unknown = set(self.weights or ()) - set(FEATURES)
        if unknown:
            raise ValueError(f'weights must name some of the features {FEATURES}, got {sorted(unknown)}.')
        if self.min_probability is not None and not self.weights:
            raise ValueError('min_probability needs the weights of a logistic model; calibrate_gate.py fits them.')

    def judge(self, features: Mapping[str, float]) -> str:
        """Reason for keeping the coarse mask, with numbers; '' if the proposal is accepted.

        Args:
            features: of one mask, by name.

        Raises:
            ValueError: a feature on which this gate decides is missing.
        """
        if features['area_ratio'] == 0:
            return 'refined mask is empty'
        if not math.isfinite(features['score']):
            return 'its score is not a number'
        for setting, (name, words) in _MINIMUMS.items():
            minimum = getattr(self, setting)
            if minimum is not None:
                value = _value(features, name, setting)
                if not value >= minimum - _ROUNDING:
                    return f'{words}: {_contrast(value, minimum)}'
        if self.area_ratio is not None:
            ratio, (low, high) = features['area_ratio'], self.area_ratio
            if ratio < low - _ROUNDING:
                return f'{_TOO_SMALL}: area x {_contrast(ratio, low)}'
            if ratio > high + _ROUNDING:
                return f'{_TOO_LARGE}: area x {_contrast(ratio, high, "at most")}'
        if self.min_probability is not None:
            probability = self.probability(features)
            if not probability >= self.min_probability - _ROUNDING:
                return f'{_UNLIKELY}: {_contrast(probability, self.min_probability)}'
        return ''

    def probability(self, features: Mapping[str, float]) -> float:
        """The logistic model's probability that a proposal helps."""
        logit = self.bias + sum(
            weight * logistic_input(name, _value(features, name, 'weights')) for name, weight in self.weights.items()
        )
        return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))


def logistic_input(name: str, value: float) -> float:
    """Input of the logistic model for a feature: the absolute logarithm of area ratios, other features unchanged."""
    return abs(math.log(max(value, 1e-9))) if name == 'area_ratio' else value


def resolve_gate(own: QualityGate | None, gate: bool | Mapping) -> QualityGate | None:
    """Gate for a ``gate`` argument: True, False or changed settings.

    Args:
        own: the refiner's.
        gate: True, the refiner's own; False, none; settings: its own with these changed, or one of these alone where
            it has none.

    Raises:
        ValueError: an unknown setting.
    """
    if isinstance(gate, bool):
        return own if gate else None
    unknown = set(gate) - {field.name for field in fields(QualityGate)}
    if unknown:
        raise ValueError(
            f'gate has no setting {sorted(unknown)}; there are {[field.name for field in fields(QualityGate)]}.'
        )
    return replace(own or QualityGate(), **gate)


def parse_gate(settings: Sequence[str]) -> dict[str, float | list[float] | None]:
    """Settings from a command line, such as ``['min_gain=0.02', 'area_ratio=0.4,2.5', 'min_score=none']``.

    Raises:
        ValueError: an unknown setting, or a value that is not a number.

    Example:
        >>> parse_gate(['min_gain=0.02'])
        {'min_gain': 0.02}
    """
    names = [field.name for field in fields(QualityGate) if field.name != 'weights']
    gate: dict[str, float | list[float] | None] = {}
    for text in settings:
        name, _, value = text.partition('=')
        try:
            numbers = [float(part) for part in value.split(',')] if value.lower() != 'none' else None
        except ValueError:
            numbers = []
        is_number = numbers is None or (
            len(numbers) == (2 if name == 'area_ratio' else 1) and bool(np.isfinite(numbers).all())
        )
        if name not in names or not is_number:
            raise ValueError(
                'a gate setting must be NAME=NUMBER, NAME=none or area_ratio=MIN,MAX, where NAME is one of '
                f'{", ".join(names)}; got {text!r}.'
            )
        gate[name] = numbers if numbers is None or name == 'area_ratio' else numbers[0]
    return gate


def gate_features(
    coarse: np.ndarray,
    proposed: np.ndarray,
    scores: np.ndarray,
    coarse_scores: np.ndarray | None = None,
    evidence: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Features that the gate decides on, (N,) float64 by name.

    Args:
        coarse: (N, H, W) bool, none of them empty.
        proposed: (N, H, W) bool.
        scores, coarse_scores: (N,) estimates of the quality of both, in [0, 1]; None: there are none of coarse masks.
        evidence: further features that the refiner knows, (N,) each.
    """
    areas_px, proposed_px = (np.array([np.count_nonzero(m) for m in masks], np.float64) for masks in (coarse, proposed))
    features = {
        'score': np.asarray(scores, np.float64),
        'agreement': binary_iou(coarse, proposed),
        'area_ratio': proposed_px / areas_px,
        'relative_size': np.sqrt(areas_px / np.prod(coarse.shape[1:])),
    }
    if coarse_scores is not None:
        features['expected_gain'] = features['score'] - coarse_scores
    return {**features, **{name: np.asarray(values, np.float64) for name, values in (evidence or {}).items()}}


def describe_reason(reason: str) -> str:
    """A reason of :meth:`QualityGate.judge` without its numbers, to count alike ones."""
    return reason.partition(':')[0]


def summarize_kept(counts: Mapping[str, int], num_masks: int, in_python: bool = False) -> str:
    """Sentence on how many coarse masks were kept for which reasons, and which setting accepts the proposals.

    Args:
        counts: how many masks were kept for each of :func:`describe_reason`.
        num_masks: how many there were.
        in_python: whether settings are named as in Python instead of the command line.
    """
    if not counts:
        return ''
    most_first = sorted(counts, key=lambda words: -counts[words])
    parts = ', '.join(f'{words} {counts[words]}' for words in most_first)
    kept = sum(counts.values())
    sentence = f'{kept} of {num_masks} coarse masks {"was" if kept == 1 else "were"} kept: {parts}.'
    settings = {words: setting for setting, (_, words) in _MINIMUMS.items()}
    settings |= {_TOO_SMALL: 'area_ratio', _TOO_LARGE: 'area_ratio', _UNLIKELY: 'min_probability'}
    loosened = dict.fromkeys(settings[words] for words in most_first if words in settings)
    if loosened:
        # Without one condition, a mask may still fail another.
        every = 'gate=False' if in_python else '--no-gate'
        on_command_line = f'--gate {" ".join(f"{name}=none" for name in loosened)}'
        in_call = f'gate=dict({", ".join(f"{name}=None" for name in loosened)})'
        these = 'this condition' if len(loosened) == 1 else 'these conditions'
        sentence += f' {every} accepts every proposal, {in_call if in_python else on_command_line} drops {these} alone.'
    return sentence


def _value(features: Mapping[str, float], name: str, setting: str) -> float:
    if name not in features:
        raise ValueError(
            f'the gate\'s {setting} needs "{name}", which this refiner does not estimate; it has {sorted(features)}.'
        )
    return features[name]


def _contrast(value: float, bound: float, words: str = 'needs') -> str:
    """Both numbers with as many decimals as it takes to distinguish them."""
    for decimals in range(3, 8):
        texts = f'{value:.{decimals}f}', f'{bound:.{decimals}f}'
        if texts[0] != texts[1]:
            break
    return f'{texts[0]}, {words} {texts[1]}'
