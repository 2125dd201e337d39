"""SegRefiner on object crops: the contract, parity with the released code, and training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.models.refiners import RefineInput, SegRefiner
from mmrefine.models.refiners.segrefiner import Condition
from mmrefine.structures import RefineDataSample
from tests.helpers.reference import (
    FLIPPED_SHARE,
    LOSS_ATOL,
    PROBABILITIES_ATOL,
    TINY_UNET,
    floats,
    load,
    tiny_weights,
    uniform,
)
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks

CUES = ({'bins': 16, 'cells': 1}, {'bins': 8, 'cells': 4})
UNNORMALIZED = {'mean': (0, 0, 0), 'std': (1, 1, 1)}


def build(cls: type[SegRefiner] = SegRefiner, **settings) -> SegRefiner:
    """The reference's tiny trained network; its images are normalized already."""
    refiner = cls(**{'denoiser': TINY_UNET, 'input_size': 64, **UNNORMALIZED, **settings})
    refiner.denoise_model.load_state_dict(tiny_weights())
    return refiner.eval()


class Replay(SegRefiner):
    """Takes the recorded draws instead of its own, and keeps its probabilities."""

    noise: object
    probabilities: list

    def _uniform(self, shape, generators):
        return uniform(next(self.noise))

    def _reverse(self, images, coarse, steps, generators):
        denoised = super()._reverse(images, coarse, steps, generators)
        self.probabilities.append(denoised.result)
        return denoised


class TestContract(RefinerContract):
    @pytest.fixture
    def refiner(self) -> SegRefiner:
        return build(mean=(120, 120, 120), std=(60, 60, 60), max_batch=2)


class TestContractWithCues(RefinerContract):
    @pytest.fixture
    def refiner(self) -> SegRefiner:
        torch.manual_seed(0)
        refiner = SegRefiner(
            {**TINY_UNET, 'in_channels': 6, 'patch_size': 2}, input_size=32, cues=CUES, margin_ratio=0.2, antialias=True
        )
        torch.nn.init.normal_(refiner.denoise_model.out[-1].weight, std=0.1)
        return refiner.eval()


def test_instances_of_the_released_code():
    """Same crops, same batches of two, same draws: same probabilities and masks, in the order given."""
    expected = load('E_instance_s0')
    refiner = build(Replay, max_batch=2)
    refiner.noise = iter([expected[f'noise_{index}'] for index in range(15)])
    refiner.probabilities = []
    image = expected['img'][0].astype(np.float32).transpose(1, 2, 0)
    coarse = expected['coarse_masks'].astype(bool)
    item = RefineInput(image, coarse, generator=torch.Generator())
    with torch.no_grad():
        ((masks, scores, coarse_scores, _, refusals),) = refiner._refine_batch([item])
    np.testing.assert_allclose(torch.cat(refiner.probabilities), expected['res'], rtol=0, atol=PROBABILITIES_ATOL)
    # The released code sorts instances by class; ours keeps the order.
    for source, released in zip(expected['out_source_index'], expected['out_masks'], strict=True):
        assert np.count_nonzero(masks[source] != released.astype(bool)) <= FLIPPED_SHARE * released.size
    tiny = np.count_nonzero(coarse, axis=(1, 2)) < 512
    np.testing.assert_array_equal(masks[tiny], coarse[tiny])
    assert [refusal != '' for refusal in refusals] == tiny.tolist()
    assert (scores[tiny] == 0).all() and (scores[~tiny] > 0).all() and (coarse_scores[~tiny] > 0).all()


@pytest.mark.parametrize(('name', 'parts'), [('obj', ['obj']), ('objpatch', ['obj', 'patch'])])
def test_training_step_of_the_released_code(name, parts):
    """Losses, IoU and gradients of one training step with the recorded steps and draws."""
    expected = load('F_losses_s0')
    refiner = build().train()
    inputs = torch.cat([floats(expected[f'{part}_x']) for part in parts])
    target = torch.cat([floats(expected[f'{part}_gt']) for part in parts])
    losses = refiner.loss(
        Condition(inputs[:, :3]),
        inputs[:, 3:],
        target,
        torch.from_numpy(expected[f'{name}_t']),
        uniform(expected[f'{name}_noise_u8']),
    )
    for key in ('loss_mask', 'loss_texture', 'iou'):
        np.testing.assert_allclose(losses[key].detach(), expected[f'{name}_{key}'], rtol=0, atol=LOSS_ATOL)
    (losses['loss_mask'] + losses['loss_texture']).backward()
    network = refiner.denoise_model
    for key, parameter in (
        ('out2', network.out[2].weight),
        ('conv_in', network.input_blocks[0][0].weight),
        ('time', network.time_embed.weight),
    ):
        # Sums over 64 x 64 pixels in float32. Those of the steps are zero up to rounding: with one channel per group
        # the norm behind the embedding takes it out again.
        released = expected[f'{name}_grad_{key}']
        np.testing.assert_allclose(parameter.grad, released, rtol=0, atol=max(1e-4 * np.abs(released).max(), 1e-8))


def test_batch_bound_zero_means_no_bound():
    image, masks = photograph(), rough_masks()
    for bound in (0, -1, 1):
        np.testing.assert_array_equal(
            build(max_batch=bound).refine(image, masks).masks, build().refine(image, masks).masks
        )


def test_small_masks_come_back_unchanged():
    masks = np.zeros((2, 96, 128), bool)
    masks[0, 10:20, 10:20] = True
    masks[1, 30:80, 30:80] = True
    result = build(min_area=101).refine(photograph(), masks)
    np.testing.assert_array_equal(result.masks[0], masks[0])
    assert result.scores[0] == 0 and result.scores[1] > 0
    assert result.reasons == ('coarse mask is too small: 100 px, needs 101', '')
    for values in result.features.values():
        assert np.isnan(values[0]) and np.isfinite(values[1])


def test_gate_keeps_the_coarse_mask_and_says_why():
    refiner = build(gate={'min_agreement': 1.1})
    result = refiner.refine(photograph(), rough_masks())
    assert not result.accepted.any()
    np.testing.assert_array_equal(result.masks, rough_masks())
    assert all(reason.startswith('overlap with the coarse mask too small') for reason in result.reasons)


def _training_samples(seeds):
    samples = []
    for seed in seeds:
        sample = RefineDataSample(metainfo={'seed': seed})
        sample.coarse_masks = torch.from_numpy(rough_masks(64, 64, 1).astype(np.uint8))
        sample.gt_masks = torch.roll(sample.coarse_masks, 3, dims=2)
        samples.append(sample)
    return samples


def test_training_draws_follow_from_each_samples_seed():
    refiner = build(final_step_prob=0.5)
    steps, noise = refiner._training_draws([5, 6, 5], (8, 8))
    assert steps[0] == steps[2] and torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
    many, _ = refiner._training_draws(list(range(400)), (1, 1))
    # 0.5 + 0.5 / 6 of the draws are at t = 5: 233 of 400, standard deviation 10.
    assert 193 < int((many == 5).sum()) < 273
    assert set(many.tolist()) == set(range(6))


def test_forward_modes():
    refiner = build(max_batch=2)
    crops = [
        torch.randint(256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(i)) for i in (0, 1)
    ]
    losses = refiner(crops, _training_samples([1, 2]), mode='loss')
    assert set(losses) == {'loss_mask', 'loss_texture', 'iou'} and losses['loss_mask'].requires_grad
    assert refiner(crops, _training_samples([1, 2]), mode='tensor').shape == (2, 1, 64, 64)
    sample = RefineDataSample(coarse_masks=rough_masks())
    (answer,) = refiner([torch.from_numpy(photograph()).permute(2, 0, 1)], [sample], mode='predict')
    np.testing.assert_array_equal(answer.refined_masks, refiner.refine(photograph(), rough_masks()).masks)
    with pytest.raises(ValueError, match="'loss', 'predict' or 'tensor', got 'train'"):
        refiner(crops, _training_samples([1, 2]), mode='train')


@pytest.mark.parametrize('steps', [(), (4, 3), (5, 5, 0), (5, 6), (5, -1)])
def test_nonsensical_steps_are_named(steps):
    with pytest.raises(ValueError, match='steps must be descending and start at 5, where every pixel is coarse, got'):
        build(steps=steps)


def test_fewer_steps_cost_fewer_passes():
    refiner, passes = build(steps=(5, 2, 0)), []
    refiner.denoise_model.register_forward_hook(lambda module, inputs, output: passes.append(inputs[1].tolist()))
    refiner.refine(photograph(), rough_masks(count=1))
    assert passes == [[5], [2], [0]]


def test_published_checkpoints_load_with_the_kernels_of_their_loss():
    refiner = build()
    kernels = {f'loss_texture.sobel.conv_{axis}.weight': torch.zeros(1, 1, 3, 3) for axis in 'xy'}
    published = {f'denoise_model.{name}': value for name, value in tiny_weights().items()}
    assert set(published) == set(refiner.state_dict())
    refiner.load_state_dict({**published, **kernels}, strict=True)
