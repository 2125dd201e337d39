"""The gate: accept a proposed mask or keep the coarse mask. Legend: N masks, H and W in pixels.

The gate decides by features that need no ground truth:

================== =====================================================================================================
``score``          the refiner's estimate of the proposal's IoU with the ground truth
``expected_gain``  ``score`` minus the refiner's estimate for the coarse mask
``agreement``      IoU of proposal and coarse mask
``area_ratio``     area of the proposal divided by that of the coarse mask
``relative_size``  square root of the fraction of the image that the coarse mask covers
``sharpness``      confidence along the proposal's boundary, see :func:`~mmrefine.core.expected_iou.boundary_sharpness`
``stability``      IoU of the masks predicted at the first and the last timestep
================== =====================================================================================================

``score``, ``agreement``, ``area_ratio`` and ``relative_size`` are always available, the others if the refiner estimates
them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mmrefine.core.iou import binary_iou

FEATURES = ('score', 'expected_gain', 'agreement', 'area_ratio', 'relative_size', 'sharpness', 'stability')
# Settings that are the minimum of a feature, in the order in which they are checked, and the reasons they give.
_MINIMUMS = {
    'min_score': ('score', 'score too low'),
    'min_gain': ('expected_gain', 'expected gain too small'),
    'min_agreement': ('agreement', 'overlap with the coarse mask too small'),
    'min_sharpness': ('sharpness', 'boundary too uncertain'),
    'min_stability': ('stability', 'change between steps too large'),
}
_TOO_SMALL, _TOO_LARGE = 'too small relative to the coarse mask', 'too large relative to the coarse mask'
_UNLIKELY = 'improvement too unlikely'
_ROUNDING = 1e-6  # tolerance of all bounds


@dataclass(frozen=True)
class QualityGate:
    """Gate that compares the features of each mask with bounds; a bound of None is not checked.

    Args:
        min_score, min_gain, min_agreement, min_sharpness, min_stability: minimum ``score``, ``expected_gain``,
            ``agreement``, ``sharpness`` and ``stability``.
        area_ratio: min and max ``area_ratio``.
        weights, bias: a logistic model of the probability that a proposal is better than the coarse mask: one weight
            by feature name, applied to :func:`logistic_input`. Fitted by ``tools/analysis_tools/calibrate_gate.py``.
        min_probability: minimum of that probability.

    Raises:
        ValueError: invalid bounds, unknown features, or ``min_probability`` without weights.
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
            features: features of one mask by name.

        Raises:
            ValueError: a feature that this gate needs is missing.
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
        """Probability by the logistic model that a proposal is better than the coarse mask."""
        logit = self.bias + sum(
            weight * logistic_input(name, _value(features, name, 'weights')) for name, weight in self.weights.items()
        )
        return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))


def logistic_input(name: str, value: float) -> float:
    """Input of the logistic model: the absolute logarithm of the area ratio, other features unchanged."""
    return abs(math.log(max(value, 1e-9))) if name == 'area_ratio' else value


def resolve_gate(own: QualityGate | None, gate: bool | Mapping) -> QualityGate | None:
    """Gate for a ``gate`` argument.

    Args:
        own: the refiner's gate.
        gate: True: the refiner's gate; False: no gate; a dict: the refiner's gate with these settings changed, or a
            gate with these settings alone if it has none.

    Raises:
        ValueError: an unknown setting.
    """
    if isinstance(gate, bool):
        return own if gate else None
    names = [field.name for field in fields(QualityGate)]
    unknown = set(gate) - set(names)
    if unknown:
        raise ValueError(f'gate has no setting {sorted(unknown)}; expected some of {names}.')
    return replace(own or QualityGate(), **gate)


def parse_gate(settings: Sequence[str]) -> dict[str, float | list[float] | None]:
    """Parse gate settings of a command line, such as ``['min_gain=0.02', 'area_ratio=0.4,2.5', 'min_score=none']``.

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
    """Features by which the gate decides, (N,) float64 by name.

    Args:
        coarse: (N, H, W) bool, none of them empty.
        proposed: (N, H, W) bool.
        scores: (N,) estimated IoU of the proposals with the ground truth, in [0, 1].
        coarse_scores: the same for the coarse masks; None if the refiner does not estimate it.
        evidence: further features that the refiner provides, (N,) each.
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
    """A reason of :meth:`QualityGate.judge` without its numbers, for counting.

    Example:
        >>> describe_reason('score too low: 0.700, needs 0.800')
        'score too low'
        >>> describe_reason('refined mask is empty (1 of 2 regions)')
        'refined mask is empty'
    """
    return re.split(r': | \(', reason, maxsplit=1)[0]


def summarize_kept(counts: Mapping[str, int], num_masks: int, in_python: bool = False) -> str:
    """Sentence that tells how many coarse masks were kept and why, and how to change that.

    Args:
        counts: number of masks kept by reason, see :func:`describe_reason`.
        num_masks: number of all masks.
        in_python: name settings as Python arguments instead of command line options.
    """
    if not counts:
        return ''
    most_first = sorted(counts, key=lambda words: -counts[words])
    parts = ', '.join(f'{words} {counts[words]}' for words in most_first)
    kept = sum(counts.values())
    masks, were = 'mask' if num_masks == 1 else 'masks', 'was' if kept == 1 else 'were'
    sentence = f'{kept} of {num_masks} coarse {masks} {were} kept: {parts}.'
    settings = {words: setting for setting, (_, words) in _MINIMUMS.items()}
    settings |= {_TOO_SMALL: 'area_ratio', _TOO_LARGE: 'area_ratio', _UNLIKELY: 'min_probability'}
    loosened = dict.fromkeys(settings[words] for words in most_first if words in settings)
    if loosened:
        # "drops" and not "accepts": a mask may still fail another condition.
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
    """Both numbers, with enough decimals to tell them apart."""
    for decimals in range(3, 8):
        texts = f'{value:.{decimals}f}', f'{bound:.{decimals}f}'
        if texts[0] != texts[1]:
            break
    return f'{texts[0]}, {words} {texts[1]}'
