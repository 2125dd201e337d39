"""Calibration of the gate on masks with ground truth. Legend: N masks, F features.

The gate's logistic model estimates the probability that a proposal is better than the coarse mask. It is fitted on
masks whose IoU changed by more than the harm tolerance; other masks are irrelevant for harm and win rates.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from mmrefine.core.gate import FEATURES, QualityGate, logistic_input
from mmrefine.evaluation.summary import HARM_TOLERANCE

_PENALTY_MASKS = 3.0  # L2 penalty of standardized weights, as a number of masks
_MIN_CHANGED = 10
_MIN_HARMED = 8  # with fewer harmed masks the harm rate of a group is not estimated


@dataclass(frozen=True)
class GateData:
    """Features and gains of proposals.

    Attributes:
        features: (N,) each by name, see :mod:`mmrefine.core.gate`; without NaN.
        gains: (N,), IoU of the proposal minus IoU of the coarse mask.
        groups: (N,) names of groups, for each of which the gate must meet its bounds.
        images: (N,) names of images or folders, whose masks are in the same fold of a cross-validation.
    """

    features: Mapping[str, np.ndarray]
    gains: np.ndarray
    groups: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.gains)

    def __getitem__(self, chosen: np.ndarray) -> GateData:
        features = {name: values[chosen] for name, values in self.features.items()}
        return GateData(features, self.gains[chosen], self.groups[chosen], self.images[chosen])

    @classmethod
    def from_records(
        cls,
        records: Sequence[Mapping],
        group_by: str | None = None,
        by_folder: bool = False,
        features: Sequence[str] | None = None,
    ) -> GateData:
        """Read the ``per_mask_file`` that :class:`~mmrefine.evaluation.RefineMetric` has written without a gate.

        Masks without features, such as very small ones, are skipped.

        Args:
            records: one record per mask.
            group_by: column of the groups; None: 'kind' if there is one, else all masks are one group.
            by_folder: keep all images of a folder in the same fold, and not only all masks of an image.
            features: names of the features for the gate; None: all that the records have.

        Raises:
            ValueError: columns are missing, a gate was active, or there are too few masks.
        """
        names = [name for name in FEATURES if records and name in records[0]]
        for column in ('coarse_iou', 'refined_iou', 'score', 'agreement', *([group_by] if group_by else [])):
            if not records or column not in records[0]:
                got = sorted(records[0]) if records else 'no masks'
                raise ValueError(
                    f'calibration needs masks with {column}, as written by mmrefine test CONFIG WEIGHTS --no-gate '
                    f'--per-mask FILE, got {got}.'
                )
        unknown = set(features or ()) - set(names)
        if unknown:
            raise ValueError(f'these masks have the features {", ".join(names)}; got {", ".join(sorted(unknown))}.')
        group_by = group_by or ('kind' if 'kind' in records[0] else None)
        complete = [record for record in records if all(_is_number(record[name]) for name in names)]
        if any(str(record.get('accepted')) == 'False' and float(record['area_ratio']) > 0 for record in complete):
            raise ValueError('some proposals were rejected by a gate; run mmrefine test with --no-gate.')
        unit = os.path.dirname if by_folder else str
        data = cls(
            {name: np.array([float(record[name]) for record in complete]) for name in features or names},
            np.array([float(record['refined_iou']) - float(record['coarse_iou']) for record in complete]),
            np.array([str(record[group_by]) if group_by else 'all' for record in complete]),
            np.array([unit(str(record.get('img_path') or index)) for index, record in enumerate(complete)]),
        )
        won, harmed = np.count_nonzero(data.gains > HARM_TOLERANCE), np.count_nonzero(data.gains < -HARM_TOLERANCE)
        if min(won, harmed) == 0 or won + harmed < _MIN_CHANGED:
            raise ValueError(
                f'calibration needs at least {_MIN_CHANGED} proposals that gained or lost over one point of IoU, and '
                f'some of both; of {len(data)} masks {won} gained and {harmed} lost: give more masks.'
            )
        return data


@dataclass(frozen=True)
class OperatingPoint:
    """Gain and harm of a group of masks at one threshold.

    Attributes:
        threshold: minimum probability.
        taken: fraction of proposals that are accepted.
        harm, win: fractions of masks that lose or gain over one point of IoU.
        gain: mean gain of IoU.
    """

    threshold: float
    taken: float
    harm: float
    win: float
    gain: float


@dataclass(frozen=True)
class Calibration:
    """A fitted gate with cross-validated results.

    Attributes:
        gate: the gate.
        probabilities: (N,), each by a model that was fitted without its image.
        held_out: per group, the operating point with thresholds that the masks themselves had no part in.
        curves: per group, operating points over all thresholds, rising.
        feasible: whether the aim was met in every group by the cross-validated probabilities.
    """

    gate: QualityGate
    probabilities: np.ndarray
    held_out: dict[str, OperatingPoint]
    curves: dict[str, list[OperatingPoint]]
    feasible: bool


def calibrate(
    data: GateData,
    max_harm: float = 0.5,
    max_gain_lost: float = 0.1,
    folds: int = 5,
    seed: int = 0,
    fit_on: GateData | None = None,
) -> Calibration:
    """Fit a gate and choose its threshold, by cross-validation unless it is fitted to other masks.

    The threshold is the lowest one that meets both bounds in every group, or else the one that exceeds them least. The
    bound on harm does not apply to groups with very few harmed masks.

    Args:
        data: all proposals.
        max_harm: maximum harm, as a share of the harm without a gate.
        max_gain_lost: maximum loss of gain, as a share of the gain without a gate.
        folds: parts of a cross-validation.
        seed: of the parts.
        fit_on: proposals on other images to fit the logistic model to; ``data`` then decides the threshold alone.

    Raises:
        ValueError: fewer images than ``folds``, or features that ``fit_on`` lacks.
    """
    inputs = _inputs(data, data.features)
    fold = _folds(data.images, folds, seed)
    if fit_on is None:
        probabilities = np.empty(len(data))
        for part in range(folds):
            weights, bias = _fit(inputs[fold != part], data[fold != part])
            probabilities[fold == part] = _sigmoid(inputs[fold == part] @ weights + bias)
        weights, bias = _fit(inputs, data)
    else:
        weights, bias = _fit(_inputs(fit_on, data.features), fit_on)
        probabilities = _sigmoid(inputs @ weights + bias)
    threshold, slack = _choose(probabilities, data, max_harm, max_gain_lost)
    taken = np.zeros(len(data), bool)
    for part in range(folds):
        other = fold != part
        own, _ = _choose(probabilities[other], data[other], max_harm, max_gain_lost)
        taken[~other] = probabilities[~other] >= own
    gate = QualityGate(
        weights={name: round(float(weight), 3) for name, weight in zip(data.features, weights, strict=True)},
        bias=round(float(bias), 3),
        min_probability=round(float(threshold), 3),
    )
    groups = sorted(set(data.groups.tolist()))
    held_out = {g: _point(threshold, taken[data.groups == g], data.gains[data.groups == g]) for g in groups}
    curves = {g: risk_coverage(probabilities[data.groups == g], data.gains[data.groups == g]) for g in groups}
    return Calibration(gate, probabilities, held_out, curves, bool(slack >= 0))


def risk_coverage(probabilities: np.ndarray, gains: np.ndarray) -> list[OperatingPoint]:
    """Operating points at all thresholds; the first, threshold 0, is without a gate."""
    thresholds = [0.0, *np.unique(probabilities).tolist()]
    return [_point(threshold, probabilities >= threshold, gains) for threshold in thresholds]


def _point(threshold: float, taken: np.ndarray, gains: np.ndarray) -> OperatingPoint:
    left = np.where(taken, gains, 0)
    return OperatingPoint(
        float(threshold),
        float(taken.mean()),
        float((left < -HARM_TOLERANCE).mean()),
        float((left > HARM_TOLERANCE).mean()),
        float(left.mean()),
    )


def _choose(probabilities: np.ndarray, data: GateData, max_harm: float, max_gain_lost: float) -> tuple[float, float]:
    """The threshold, and the smallest slack of all groups: 1 is perfect, 0 is on a bound, negative exceeds it."""
    slack = np.full(201, np.inf)
    thresholds = np.quantile(probabilities, np.linspace(0, 1, len(slack)))
    for group in set(data.groups.tolist()):
        own, gains = probabilities[data.groups == group], data.gains[data.groups == group]
        points = [_point(threshold, own >= threshold, gains) for threshold in thresholds]
        free = _point(0, np.ones(len(own), bool), gains)
        for index, point in enumerate(points):
            if free.harm * len(gains) >= _MIN_HARMED:
                slack[index] = min(slack[index], 1 - point.harm / free.harm / max_harm)
            lost = max(free.gain - point.gain, 0) / max(free.gain, 1e-6)
            slack[index] = min(slack[index], 1 - lost / max_gain_lost)
    best = int(np.argmax(slack >= 0)) if slack.max() >= 0 else int(np.argmax(slack))
    # Halfway between two masks.
    below = probabilities[probabilities < thresholds[best]]
    return (float(thresholds[best] + below.max()) / 2 if len(below) else 0.0), float(slack[best])


def _fit(inputs: np.ndarray, data: GateData) -> tuple[np.ndarray, float]:
    """Fit weights (F,) and bias of the logistic model, with a small penalty on standardized weights.

    All groups count the same, however many masks they have.
    """
    changed = np.abs(data.gains) > HARM_TOLERANCE
    inputs, sign = inputs[changed], np.sign(data.gains[changed])
    _, group_of, sizes = np.unique(data.groups[changed], return_inverse=True, return_counts=True)
    share = 1 / (len(sizes) * sizes[group_of])
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    columns = np.column_stack([(inputs - mean) / spread, np.ones(len(inputs))])
    penalty = np.append(np.full(inputs.shape[1], _PENALTY_MASKS / len(sign)), 0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = sign * (columns @ weights)
        slope = -sign * _sigmoid(-margins) * share
        return share @ np.logaddexp(0, -margins) + penalty @ weights**2, slope @ columns + 2 * penalty * weights

    *weights, bias = minimize(loss, np.zeros(columns.shape[1]), jac=True, method='L-BFGS-B').x
    weights = np.array(weights) / spread
    return weights, float(bias - weights @ mean)


def _inputs(data: GateData, names: Iterable[str]) -> np.ndarray:
    """Inputs of the logistic model, (N, F)."""
    missing = set(names) - set(data.features)
    if missing:
        raise ValueError(f'the masks to fit on have no {", ".join(sorted(missing))}; use masks of the same refiner.')
    return np.column_stack([[logistic_input(name, value) for value in data.features[name].tolist()] for name in names])


def _folds(images: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) int, the fold of each mask; images are assigned in random order."""
    names, image_of = np.unique(images, return_inverse=True)
    if len(names) < folds:
        raise ValueError(
            f'cross-validation with {folds} folds needs at least as many images, or folders of them, got {len(names)}.'
        )
    return np.random.default_rng(seed).permutation(len(names))[image_of] % folds


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def _is_number(value: object) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
