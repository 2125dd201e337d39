"""The contract itself: a good refiner keeps all of it, and every promise that is broken is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmrefine.models.refiners import RefineInput
from mmrefine.structures import RefineResult
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.refiner_contract import RefinerContract, photograph


class TestContract(RefinerContract):
    @pytest.fixture
    def refiner(self) -> BrightRefiner:
        return BrightRefiner()


class Reversed(BrightRefiner):
    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list:
        return [tuple(column[::-1] for column in pair) for pair in super()._refine_batch(inputs)]


class Shifted(BrightRefiner):
    """Every mask is answered with that of its neighbour."""

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list:
        return [tuple(np.roll(column, 1, axis=0) for column in pair) for pair in super()._refine_batch(inputs)]


class BatchDependent(BrightRefiner):
    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list:
        return [(masks, scores / len(inputs)) for masks, scores in super()._refine_batch(inputs)]


class GloballyRandom(BrightRefiner):
    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list:
        torch.rand(1)
        return super()._refine_batch(inputs)


class Unseeded(BrightRefiner):
    """Its own randomness goes on from call to call."""

    generator = torch.Generator().manual_seed(0)

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list:
        factor = float(torch.rand(1, generator=self.generator))
        return [(masks, scores * factor) for masks, scores in super()._refine_batch(inputs)]


class TooSmallFor(BrightRefiner):
    """Fails on images that are narrower than its kernel."""

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list:
        if min(side for item in inputs for side in item.image.shape[:2]) < 5:
            raise IndexError('crop without pixels')
        return super()._refine_batch(inputs)


class _Spoilt(BrightRefiner):
    """What comes out of :meth:`refine` is changed."""

    def refine_batch(self, inputs: Sequence[RefineInput]) -> list[RefineResult]:
        return [self._spoil(item, result) for item, result in zip(inputs, super().refine_batch(inputs), strict=True)]


class Unbounded(_Spoilt):
    def _spoil(self, item: RefineInput, result: RefineResult) -> RefineResult:
        return replace(result, scores=result.scores + 7)


class AlwaysOne(_Spoilt):
    """Answers with a mask where there is none."""

    def _spoil(self, item: RefineInput, result: RefineResult) -> RefineResult:
        return result if len(result) else replace(result, masks=np.zeros((1, *item.image.shape[:2]), bool))


class FillsEmpty(_Spoilt):
    def _spoil(self, item: RefineInput, result: RefineResult) -> RefineResult:
        masks = result.masks.copy()
        masks[~result.coarse_masks.any(axis=(1, 2)), 0, 0] = True
        return replace(result, masks=masks)


class GateDependent(_Spoilt):
    """Proposes nothing that its gate would refuse."""

    def _spoil(self, item: RefineInput, result: RefineResult) -> RefineResult:
        return replace(result, proposals=result.masks)


class Writes(BrightRefiner):
    def refine_batch(self, inputs: Sequence[RefineInput]) -> list[RefineResult]:
        for item in inputs:
            item.masks[..., 0] = False
        return super().refine_batch(inputs)


class SharesMemory(_Spoilt):
    """Masks that were kept are the caller's own array."""

    def _spoil(self, item: RefineInput, result: RefineResult) -> RefineResult:
        return replace(result, masks=item.masks)


class CutsBytes(BrightRefiner):
    """Takes 0 and 1 for grey levels."""

    def refine_batch(self, inputs: Sequence[RefineInput]) -> list[RefineResult]:
        cut = [replace(item, masks=item.masks > 127) if item.masks.dtype == np.uint8 else item for item in inputs]
        return super().refine_batch(cut)


class StaysInEvaluation(BrightRefiner):
    def refine_batch(self, inputs: Sequence[RefineInput]) -> list[RefineResult]:
        results = super().refine_batch(inputs)
        self.eval()
        return results


class Unchecked(_Spoilt):
    """Takes masks of another size as far as they go."""

    def refine_batch(self, inputs: Sequence[RefineInput]) -> list[RefineResult]:
        height, width = inputs[0].image.shape[:2]
        padded = np.zeros((1, height, width), bool)
        if inputs[0].masks.shape[-2:] != (height, width):
            return super().refine_batch([replace(inputs[0], masks=padded)])
        return super().refine_batch(inputs)

    def _spoil(self, item: RefineInput, result: RefineResult) -> RefineResult:
        return result


@pytest.mark.parametrize(
    ('kind', 'test', 'arguments'),
    [
        (Unbounded, 'test_result_has_the_promised_form', ()),
        (GateDependent, 'test_a_gate_changes_what_is_taken_and_not_what_is_proposed', ()),
        (AlwaysOne, 'test_no_masks', ()),
        (FillsEmpty, 'test_empty_mask_comes_back_empty_among_others', ()),
        (TooSmallFor, 'test_full_mask_of_any_size', ((1, 1),)),
        (Reversed, 'test_order_is_kept', ()),
        (Shifted, 'test_order_is_kept', ()),
        (CutsBytes, 'test_dtypes_mean_the_same', ('uint8',)),
        (Unseeded, 'test_same_seed_same_masks', ()),
        (GloballyRandom, 'test_global_randomness_is_left_alone', ()),
        (Writes, 'test_inputs_are_not_changed', ()),
        (SharesMemory, 'test_inputs_are_not_changed', ()),
        (BatchDependent, 'test_result_does_not_depend_on_the_batch', ()),
        (StaysInEvaluation, 'test_training_mode_is_restored', ()),
        (Unchecked, 'test_bad_input_is_named', ()),
    ],
)
def test_a_broken_promise_is_noticed(kind: type[BrightRefiner], test: str, arguments: tuple) -> None:
    getattr(RefinerContract(), test)(BrightRefiner(), *arguments)
    with pytest.raises((AssertionError, IndexError, ValueError, pytest.fail.Exception)):
        getattr(RefinerContract(), test)(kind(), *arguments)


def test_the_image_has_room_for_other_masks() -> None:
    """The order is seen by the bright disk: the mask that is put in another place sees another part of it."""
    assert photograph()[30:60, 70:100].mean(axis=2).max() > 100


@pytest.mark.parametrize(
    ('answer', 'message'),
    [
        (lambda masks: None, 'must return a list of 1 proposals, one per image, got NoneType'),
        (lambda masks: [], 'must return a list of 1 proposals, one per image, got 0 of them'),
        (lambda masks: ['ab'], 'masks proposed by Wrong must be bool .2, 8, 9. .N, H, W., got NoneType'),
        (lambda masks: [(masks[:1], np.ones(1))], r'must be bool \(2, 8, 9\) \(N, H, W\), got bool \(1, 8, 9\)'),
        (lambda masks: [(masks[:, 1:], np.ones(2))], r'got bool \(2, 7, 9\)'),
        (lambda masks: [(masks * 0.5, np.ones(2))], r'got float64 \(2, 8, 9\)'),
        (
            lambda masks: [(masks, np.ones(3))],
            r'scores by Wrong must be numbers of shape \(2,\) \(N,\), got float64 \(3,\)',
        ),
        (lambda masks: [(masks, ['a', 'b'])], 'scores by Wrong must be numbers .* got list'),
    ],
)
def test_what_a_refiner_must_not_answer(answer, message):
    class Wrong(BrightRefiner):
        def _refine_batch(self, inputs):
            return answer(inputs[0].masks)

    with pytest.raises(ValueError, match=message):
        Wrong().refine(np.zeros((8, 9, 3), np.uint8), np.ones((2, 8, 9), bool))
