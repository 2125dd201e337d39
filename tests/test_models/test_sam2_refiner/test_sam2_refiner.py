"""SAM2Refiner as a model of mmengine."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint, save_checkpoint
from torch.nn import functional as F

from mmrefine.models.sam2_refiner import SAM2DataPreprocessor, SAM2Refiner
from mmrefine.structures import ObjectPrompt
from tests.helpers.tiny_sam2 import SIZE, randomize_local_attention, tiny_sam2

SWITCHES = [dict(zip(('la', 'pr', 'mr'), on, strict=True)) for on in product((True, False), repeat=3) if any(on)]


def core_of(on: dict[str, bool], init: str = 'paper') -> dict:
    return {**{name: {} if used else None for name, used in on.items()}, 'init': init}


def upsampled(coarse: torch.Tensor) -> torch.Tensor:
    return F.interpolate(coarse, (SIZE, SIZE), mode='bilinear', align_corners=False)


def train_steps(model: SAM2Refiner, images, samples, steps: int, lr: float = 1e-3) -> list[dict[str, torch.Tensor]]:
    """Losses of some steps of gradient descent, gradients of the last one kept."""
    optimizer = torch.optim.Adam(model.core.parameters(), lr=lr)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses = model(images, samples, mode='loss')
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.detach() for name, loss in losses.items()})
    return history


# ---- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('on', SWITCHES, ids=lambda on: '+'.join(name for name, used in on.items() if used))
def test_every_combination_of_modules_answers_and_learns(make_model, images, samples, on):
    model = make_model(core=core_of(on)).train()
    answers = model(images, samples)
    assert answers.logits.shape == (4, 1, SIZE, SIZE) and answers.coarse.shape == (4, 1, 32, 32)
    assert len(answers.aux) == (3 if on['mr'] else 0)
    losses = train_steps(model, images, samples, 1)[0]
    expected = {'loss_bce', 'loss_dice'}
    if on['mr']:
        expected |= {f'loss_aux{k}_{name}' for k in (1, 2, 3) for name in ('bce', 'dice')}
    assert losses.keys() == expected
    missing = [name for name, parameter in model.core.named_parameters() if parameter.grad is None]
    assert not missing
    assert all(parameter.grad is None for parameter in model.base.parameters())


@pytest.mark.parametrize('on', SWITCHES, ids=lambda on: '+'.join(name for name, used in on.items() if used))
def test_identity_start_is_sam2_itself(base, images, samples, on):
    model = SAM2Refiner(base, core=core_of(on, 'identity')).eval()
    with torch.no_grad():
        answers = model(images, samples)
        plain = model.decode(model.encode_frozen(images), [sample.prompt for sample in samples], refine=False)
    assert torch.equal(answers.coarse, plain.coarse)
    if on['mr']:
        assert torch.equal(answers.logits, upsampled(plain.coarse))
    else:  # the decoder's last step is repeated
        torch.testing.assert_close(answers.logits, upsampled(plain.coarse), rtol=0, atol=1e-6)


def test_refine_off_bypasses_everything(model, images, prompts):
    with torch.no_grad():
        features = model.encode_frozen(images)
        plain = model.decode(features, prompts, refine=False)
        refined = model.decode(model.localize(features), prompts)
    assert torch.equal(plain.logits, upsampled(plain.coarse)) and not plain.aux
    assert (refined.coarse - plain.coarse).abs().max() > 1e-3  # Localization Augment is before the decoder
    assert (refined.logits - upsampled(refined.coarse)).abs().max() > 1e-2


@pytest.mark.parametrize('core', [{}, {'mr': None}], ids=['all', 'without MR'])
def test_an_answer_does_not_depend_on_the_batch(make_model, images, prompts, core):
    """Prompts of four kinds, in an order that keeps none beside its like."""
    model = make_model(core=core)
    with torch.no_grad():
        features = model.encode(images)
        together = model.decode(features, prompts)
        for k, prompt in enumerate(prompts):
            alone = model.decode(model.encode(images[k : k + 1]), [prompt])
            for name in ('logits', 'coarse', 'iou'):
                torch.testing.assert_close(getattr(together, name)[k : k + 1], getattr(alone, name), rtol=0, atol=1e-5)


def test_objects_of_one_image_and_repetition(model, images, prompts):
    with torch.no_grad():
        features = model.encode(images[:2])
        several = model.decode(features, prompts, image_index=[1, 0, 1, 1])
        assert torch.equal(several.logits, model.decode(features, prompts, image_index=[1, 0, 1, 1]).logits)
        second = model.decode(model.encode(images[1:2]), prompts[2:3])
    torch.testing.assert_close(several.logits[2:3], second.logits, rtol=0, atol=1e-5)


def test_prompts_matter(model, images, prompts):
    with torch.no_grad():
        features = model.encode(images[:1])
        logits = [model.decode(features, [prompt]).logits for prompt in prompts]
    assert all((logits[0] - other).abs().max() > 1e-2 for other in logits[1:])


# ---- training -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('init', ['paper', 'identity'])
def test_two_steps_reach_every_weight_of_the_core_and_none_of_the_base(base, images, samples, init):
    """Projections of zeros let nothing through in the first step."""
    torch.manual_seed(0)
    model = SAM2Refiner(base, core={'init': init}).train()
    assert not base.training
    before = {name: value.clone() for name, value in base.state_dict().items()}
    train_steps(model, images, samples, 2)
    silent = [name for name, parameter in model.core.named_parameters() if not parameter.grad.any()]
    # The key bias of an attention cancels in its softmax: rounding is all that it gets.
    assert [name for name in silent if not name.endswith('k_proj.bias')] == []
    assert all(parameter.grad is None for parameter in base.parameters())
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


def test_training_fits_a_square(base, images, samples):
    torch.manual_seed(0)
    loss = {'type': 'PointSampledMaskLoss', 'num_points': 256}
    model = SAM2Refiner(base, core={'init': 'identity'}, loss=loss).train()
    visible = images[:2] + 2 * samples[0].gt_masks
    history = train_steps(model, visible, samples[:2], 10, lr=1e-2)
    totals = [float(sum(losses.values())) for losses in history]
    assert totals[-1] < 0.5 * totals[0]


def test_loss_is_weighted_and_seeded(make_model, images, samples):
    model = make_model(aux_weight=0.0)
    losses = model(images, samples, mode='loss')
    assert losses['loss_aux2_bce'] == 0 and losses['loss_bce'] > 0
    assert torch.equal(model(images, samples, mode='loss')['loss_bce'], losses['loss_bce'])
    samples[0].set_metainfo({'seed': 99})
    assert not torch.equal(model(images, samples, mode='loss')['loss_bce'], losses['loss_bce'])


def test_a_step_of_mmengine_under_bfloat16(make_model, samples):
    model = make_model().train()
    wrapper = OptimWrapper(torch.optim.Adam(model.core.parameters(), lr=1e-3))
    pixels = [torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8) for _ in samples]
    with torch.autocast('cpu', torch.bfloat16):
        logs = BaseModel.train_step(model, {'inputs': pixels, 'data_samples': samples}, wrapper)
    assert all(torch.isfinite(value) for value in logs.values())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_cached_features_serve_training(make_model, images, samples, tmp_path):
    """Features go through half precision, with 11 bits of mantissa: logits agree to about 1e-2."""
    model = make_model(cache={'folder': str(tmp_path)})
    with torch.no_grad():
        first, second = (model(images[:2], samples[:2]).logits for _ in range(2))
    assert len(list(tmp_path.glob('*.npz'))) == 2 and torch.equal(first, second)
    calls = []
    handle = model.base.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model(images[:2], samples[:2])
        assert not calls
        model(images[2:3], samples[:1])
    handle.remove()
    assert len(calls) == 2  # a new image and its quadrants
    with torch.no_grad():
        assert model.encode_frozen(images[:2]).local is not None
        model.tile_scale = 0
        assert model.encode_frozen(images[:2]).local is None
    with torch.no_grad():
        torch.testing.assert_close(make_model()(images[:2], samples[:2]).logits, first, rtol=0, atol=0.05)


# ---- prediction and checkpoints -----------------------------------------------------------------------------------


def test_predictions_have_the_original_size(model, images, samples):
    model(images, samples, mode='predict')
    for sample in samples:
        assert sample.refined_masks.shape == sample.coarse_masks.shape == (1, 60, 90)
        assert sample.refined_masks.dtype == bool and 'accepted' not in sample
        assert 0 <= sample.scores[0] <= 1
    answers = model(images, samples)
    full = F.interpolate(answers.logits[:1], (60, 90), mode='bilinear', align_corners=False)
    np.testing.assert_array_equal(samples[0].refined_masks, (full[0] > 0).numpy())


@torch.no_grad()
def test_coarse_masks_of_predictions_are_those_of_sam2(make_model, images, samples):
    """Localization Augment changes what SAM 2's decoder answers; its own answer is without."""
    model = make_model()
    randomize_local_attention(model.core, scale=3.0)
    model(images, samples, mode='predict')
    prompts = [sample.prompt for sample in samples]
    for embedded, is_same in ((model.encode_frozen(images), True), (model.encode(images), False)):
        coarse = model.decode(embedded, prompts, refine=False).coarse
        full = F.interpolate(coarse, (60, 90), mode='bilinear', align_corners=False) > 0
        masks = np.stack([sample.coarse_masks for sample in samples])
        assert np.array_equal(full.numpy(), masks) == is_same


def test_checkpoint_holds_what_was_trained_and_comes_back(make_model, images, samples, tmp_path):
    model = make_model().train()
    train_steps(model, images, samples, 1)
    assert {name.split('.')[0] for name in model.state_dict()} == {'core'}
    save_checkpoint({'state_dict': model.state_dict()}, str(tmp_path / 'core.pth'))
    other = make_model()
    load_checkpoint(other, str(tmp_path / 'core.pth'), strict=True)
    with torch.no_grad():
        assert torch.equal(other(images, samples).logits, model.eval()(images, samples).logits)


def test_exported_checkpoint_holds_the_base_too(make_model, base, images, samples):
    whole = make_model(save_base=True).state_dict()
    assert {name.split('.')[0] for name in whole} == {'core', 'base'}
    other = SAM2Refiner(tiny_sam2(seed=1)).eval()
    other.load_state_dict(whole)
    with torch.no_grad():
        assert torch.equal(other(images, samples).logits, make_model()(images, samples).logits)


def test_foreign_checkpoints_are_refused_even_where_mmengine_would_warn(make_model, tmp_path):
    model = make_model()
    cases = {
        '. missing': {name: value for name, value in model.state_dict().items() if 'mr.head' not in name},
        '1 of another shape': {**model.state_dict(), 'core.mr.head.weight': torch.zeros(1, 3, 3, 3)},
        '1 unexpected': {**model.state_dict(), 'core.extra': torch.zeros(1)},
    }
    for message, state in cases.items():
        save_checkpoint({'state_dict': state}, str(tmp_path / 'bad.pth'))
        with pytest.raises(ValueError, match=f'does not belong to this SAM2Refiner: .*{message}'):
            load_checkpoint(model, str(tmp_path / 'bad.pth'))


# ---- bad input ----------------------------------------------------------------------------------------------------


def test_bad_input_is_named(model, images, samples):
    with pytest.raises(ValueError, match=r'mask_input must have shape \(1, 32, 32\).*got \(1, 16, 16\)'):
        model.decode(model.encode_frozen(images[:1]), [ObjectPrompt.of(mask_input=torch.zeros(1, 16, 16))])
    with pytest.raises(ValueError, match='one prompt per image or index, 1 and at least 1, got 2'):
        model.decode(model.encode_frozen(images[:1]), [sample.prompt for sample in samples[:2]])
    with pytest.raises(ValueError, match="mode must be 'tensor', 'loss' or 'predict'"):
        model(images, samples, mode='train')
    samples[0].gt_masks = torch.zeros(1, 64, 64)
    with pytest.raises(ValueError, match=r'gt_masks of shape \(1, 1, 128, 128\), got \(1, 1, 64, 64\)'):
        model(images[:1], samples[:1], mode='loss')
    with pytest.raises(ValueError, match='float16 on a CPU'), torch.autocast('cpu', torch.float16):
        model.encode(images[:1])


def test_preprocessor_normalises_and_refuses_what_it_would_have_to_pad():
    preprocess = SAM2DataPreprocessor()
    grey = torch.full((3, 8, 8), 255, dtype=torch.uint8)
    out = preprocess({'inputs': [grey], 'data_samples': []})['inputs']
    assert out[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    with pytest.raises(ValueError, match='must have the same size'):
        preprocess({'inputs': [grey, grey[:, :4]], 'data_samples': []})
    with pytest.raises(TypeError, match='must be uint8'):
        preprocess({'inputs': [grey.float()], 'data_samples': []})
