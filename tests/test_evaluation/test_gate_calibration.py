"""A gate fitted to proposals whose harm can be foreseen."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.evaluation.gate_calibration import GateData, calibrate, risk_coverage
from tests.helpers.gate_records import records


def test_what_foretells_harm_decides() -> None:
    data = GateData.from_records(records())
    result = calibrate(data)
    assert result.feasible
    for group in ('real', 'simulated'):
        free, gated = result.curves[group][0], result.held_out[group]
        assert free.taken == 1 and free.harm > 0.1
        assert gated.harm <= 0.5 * free.harm and gated.gain >= 0.9 * free.gain
    # Per spread of the features, the expected gain outweighs all others by far.
    influence = {
        name: abs(weight) * (np.log(data.features[name]) if name == 'area_ratio' else data.features[name]).std()
        for name, weight in result.gate.weights.items()
    }
    assert influence.pop('expected_gain') > 5 * max(influence.values())


def test_the_gate_says_what_the_calibration_promised() -> None:
    """The gate as its numbers stand in a config, on other masks of the same sort."""
    gate = calibrate(GateData.from_records(records())).gate
    other = GateData.from_records(records(2000, seed=1))
    taken = np.array(
        [
            not gate.judge({name: float(values[index]) for name, values in other.features.items()})
            for index in range(len(other))
        ]
    )
    harm, free_harm = ((np.where(use, other.gains, 0) < -0.01).mean() for use in (taken, np.ones(len(other), bool)))
    assert harm < 0.5 * free_harm
    assert other.gains[taken].sum() > 0.9 * other.gains.sum()


def test_many_other_masks_fit_and_few_masks_decide_the_threshold() -> None:
    """20 masks are too few to find the feature that counts among six; with it known, they suffice for a threshold."""
    few, many = GateData.from_records(records(20, seed=3)), GateData.from_records(records(2000, seed=4))
    result = calibrate(few, fit_on=many)
    fitted = calibrate(many).gate
    assert (result.gate.weights, result.gate.bias) == (fitted.weights, fitted.bias)
    by_gate = [
        result.gate.probability({name: float(values[index]) for name, values in few.features.items()})
        for index in range(len(few))
    ]
    np.testing.assert_allclose(result.probabilities, by_gate, atol=2e-3)  # weights are rounded
    with pytest.raises(ValueError, match='the masks to fit on have no .*score; use masks of the same refiner'):
        calibrate(few, fit_on=GateData({'agreement': many.features['agreement']}, many.gains, many.groups, many.images))


def test_noise_foretells_nothing_and_the_tool_says_so() -> None:
    noise = records(200)
    gains = np.random.default_rng(5).normal(0.02, 0.05, 200)
    for record, gain in zip(noise, gains, strict=True):
        record['refined_iou'] = 0.5 + gain
    result = calibrate(GateData.from_records(noise))
    assert not result.feasible
    for group, point in result.held_out.items():
        assert point.gain < result.curves[group][0].gain + 0.02  # no promise out of nothing


def test_curves_by_hand() -> None:
    gains = np.array([-0.1, 0.2, 0.005, 0.1])
    points = risk_coverage(np.array([0.2, 0.6, 0.4, 0.9]), gains)
    assert [(p.threshold, p.taken, p.harm, p.win) for p in points] == [
        (0.0, 1.0, 0.25, 0.5),
        (0.2, 1.0, 0.25, 0.5),
        (0.4, 0.75, 0, 0.5),
        (0.6, 0.5, 0, 0.5),
        (0.9, 0.25, 0, 0.25),
    ]
    assert points[2].gain == pytest.approx(0.305 / 4)


def test_masks_that_teach_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match='needs masks with coarse_iou, .* got no masks'):
        GateData.from_records([])
    with pytest.raises(ValueError, match=r"needs masks with refined_iou, .* got \['coarse_iou'\]"):
        GateData.from_records([{'coarse_iou': 1}])
    gated = records()
    gated[3]['accepted'] = 'False'
    with pytest.raises(ValueError, match='rejected by a gate'):
        GateData.from_records(gated)
    good = [record for record in records() if record['refined_iou'] > 0.5]
    with pytest.raises(ValueError, match='0 lost: give more masks'):
        GateData.from_records(good)
    unasked = records()
    unasked[0]['score'] = None
    assert len(GateData.from_records(unasked)) == 399
    assert set(GateData.from_records(records(), 'img_path').groups) >= {'0.jpg', '1.jpg'}


def test_images_of_one_folder_stay_together() -> None:
    made = [{**record, 'img_path': f'{index % 3}/{index}.jpg'} for index, record in enumerate(records())]
    data = GateData.from_records(made, by_folder=True)
    assert set(data.images) == {'0', '1', '2'}
    assert calibrate(data, folds=3).feasible
    with pytest.raises(ValueError, match='with 5 folds needs at least as many images, or folders of them, got 3'):
        calibrate(data)


def test_a_small_group_counts_as_much_as_a_large_one() -> None:
    """Where the expected gain means the opposite in the small group, equal groups leave next to nothing of it."""
    large = GateData.from_records(records(1000, kinds=('large',)), features=['expected_gain'])
    small = GateData.from_records(records(100, seed=1, kinds=('small',)), features=['expected_gain'])
    gains = np.concatenate([large.gains, -small.gains])
    both = GateData(
        {'expected_gain': np.concatenate([large.features['expected_gain'], small.features['expected_gain']])},
        gains,
        np.concatenate([large.groups, small.groups]),
        np.arange(len(gains)).astype(str),
    )
    alone, together = (calibrate(data).gate.weights['expected_gain'] for data in (large, both))
    assert abs(together) < 0.1 * alone


def test_gate_of_chosen_features() -> None:
    data = GateData.from_records(records(), features=['expected_gain', 'score'])
    assert list(calibrate(data).gate.weights) == ['expected_gain', 'score']
    with pytest.raises(ValueError, match='have the features score, .*; got stability'):
        GateData.from_records(records(), features=['score', 'stability'])
