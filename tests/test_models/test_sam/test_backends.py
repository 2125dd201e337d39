"""Backends against the packages they run on, with random weights."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from mmrefine.models.backends import PromptBackend, SAM2Backend, SAMBackend, SAMHQBackend
from mmrefine.registry import MODELS
from tests.helpers.tiny_sam import (
    RANDOM,
    TRAINED,
    noise_image,
    random_sam,
    randomize,
    some_prompts,
    trained_backend,
)

# The same arithmetic in another order: logits of up to 15 in float32.
ATOL = 1e-4
SMALL_SAM2 = dict(config='sam2.1_hiera_t', overrides=['++model.image_size=128'])


def build(name: str) -> PromptBackend:
    torch.manual_seed(0)
    if name == 'sam':
        return random_sam()
    if name == 'sam_hq':
        pytest.importorskip('segment_anything_hq')
        return randomize(SAMHQBackend(RANDOM))
    pytest.importorskip('sam2')
    return SAM2Backend(**SMALL_SAM2)


@pytest.fixture(scope='module', params=['sam', 'sam_hq', 'sam2'])
def backend(request):
    return build(request.param)


@torch.no_grad()
def test_protocol(backend):
    image = noise_image((60, 90))
    features = backend.encode(image)
    assert features.frame.image_hw == (60, 90) and features.frame.input_hw == backend.input_hw
    prompts = some_prompts(3, (60, 90), backend.prompt_hw)
    logits, iou = backend.predict(features, **prompts)
    assert logits.shape == (3, 3, *backend.prompt_hw) and iou.shape == (3, 3)
    assert backend.upscale(features.frame, logits[:, 0]).shape == (3, 60, 90)
    one = {name: value[1:2] for name, value in prompts.items()}
    torch.testing.assert_close(backend.predict(features, **one)[0], logits[1:2], atol=ATOL, rtol=0)
    torch.testing.assert_close(backend.encode(image).embedding, features.embedding)


@torch.no_grad()
@pytest.mark.parametrize('names', [['points', 'labels'], ['boxes'], ['mask_inputs'], ['boxes', 'mask_inputs']])
def test_any_prompt_will_do(backend, names):
    features = backend.encode(noise_image())
    prompts = some_prompts(2, (60, 90), backend.prompt_hw)
    logits, _ = backend.predict(features, **{name: prompts[name] for name in names})
    assert logits.shape == (2, 3, *backend.prompt_hw) and logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


def test_wrong_prompts_are_named(backend):
    features = backend.encode(noise_image())
    with pytest.raises(ValueError, match='at least one'):
        backend.predict(features)
    with pytest.raises(ValueError, match='must be given together'):
        backend.predict(features, points=np.zeros((1, 1, 2)))


def test_weights_are_frozen_and_stay_in_evaluation(backend):
    backend.train()
    assert not backend.training and not any(parameter.requires_grad for parameter in backend.parameters())


def test_fingerprint_follows_the_encoder_alone(backend):
    before = backend.fingerprint()
    head = backend.iou_head.layers[-1].bias
    head.data += 1
    assert backend.fingerprint() == before
    weight = next(iter(backend.parameters()))
    weight.data += 1
    assert backend.fingerprint() != before
    head.data -= 1
    weight.data -= 1


def test_image_of_one_row():
    backend = random_sam()
    assert backend.frame((1, 5000)).resized_hw == (1, 256)
    assert backend.encode(noise_image((1, 5000))).embedding.isfinite().all()


# --- against the packages --------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize('make', [random_sam, trained_backend])
def test_sam_is_the_packages_sam(make):
    from segment_anything import SamPredictor

    fast = make()
    plain = SAMBackend(RANDOM if make is random_sam else TRAINED, fused=False)
    plain.load_state_dict(fast.state_dict())
    plain.sam.pixel_mean, plain.sam.pixel_std = fast.sam.pixel_mean, fast.sam.pixel_std
    image = noise_image((75, 61))
    features = fast.encode(image)
    predictor = SamPredictor(plain.sam)
    predictor.set_image(image)
    torch.testing.assert_close(features.embedding, predictor.features[0], atol=ATOL, rtol=0)
    prompts = some_prompts(3, (75, 61), fast.prompt_hw)
    for names in (list(prompts), ['points', 'labels'], ['boxes']):
        given = {name: prompts[name] for name in names}
        points, boxes = given.get('points'), given.get('boxes')
        full, iou, low = predictor.predict_torch(
            None if points is None else torch.from_numpy(features.frame.to_input(points)),
            None if points is None else torch.from_numpy(prompts['labels']),
            None if boxes is None else torch.from_numpy(features.frame.boxes_to_input(boxes)),
            torch.from_numpy(prompts['mask_inputs']) if 'mask_inputs' in given else None,
            return_logits=True,
        )
        logits, predicted = fast.predict(features, **given)
        torch.testing.assert_close(logits, low, atol=ATOL, rtol=0)
        torch.testing.assert_close(predicted, iou, atol=ATOL, rtol=0)
        torch.testing.assert_close(fast.upscale(features.frame, logits[:, 1]), full[:, 1], atol=ATOL, rtol=0)


@torch.no_grad()
def test_heads_computed_apart_give_the_same_attention(monkeypatch):
    backend = random_sam()
    together = backend.encode(noise_image()).embedding
    monkeypatch.setattr('mmrefine.models.backends.fused_attention._BIAS_BYTES', 1)
    torch.testing.assert_close(backend.encode(noise_image()).embedding, together, atol=ATOL, rtol=0)


@torch.no_grad()
def test_reduced_precision_is_close():
    exact, reduced = random_sam().encode(noise_image()), random_sam(encoder_dtype='bfloat16').encode(noise_image())
    assert reduced.embedding.dtype == torch.float32
    error = (exact.embedding - reduced.embedding).norm() / exact.embedding.norm()
    assert 0 < error < 0.03  # bfloat16 has 8 bits: 0.4 % per operation, which partly average out


@torch.no_grad()
def test_sam_hq_is_the_packages():
    package = pytest.importorskip('segment_anything_hq')
    fast = build('sam_hq')
    plain = SAMHQBackend(RANDOM, fused=False)
    plain.load_state_dict(fast.state_dict())
    predictor = package.SamPredictor(plain.sam)
    image = noise_image((75, 61))
    predictor.set_image(image)
    features = fast.encode(image)
    prompts = some_prompts(3, (75, 61), fast.prompt_hw)
    logits, predicted = fast.predict(features, **prompts)
    _, iou, low = predictor.predict_torch(
        torch.from_numpy(features.frame.to_input(prompts['points'])),
        torch.from_numpy(prompts['labels']),
        torch.from_numpy(features.frame.boxes_to_input(prompts['boxes'])),
        torch.from_numpy(prompts['mask_inputs']),
        return_logits=True,
    )
    best = predicted.argmax(dim=1)  # the package returns that output alone
    torch.testing.assert_close(logits[range(3), best], low[:, 0], atol=ATOL, rtol=0)
    torch.testing.assert_close(predicted[range(3), best], iou[:, 0], atol=ATOL, rtol=0)


@torch.no_grad()
def test_sam2_is_the_packages():
    backend = build('sam2')
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(backend.sam2)
    predictor._bb_feat_sizes = [(32, 32), (16, 16), (8, 8)]  # written for 1024 in the package
    image = noise_image((75, 61))
    predictor.set_image(image)
    features = backend.encode(image)
    prompts = some_prompts(3, (75, 61), backend.prompt_hw)
    full, iou, _ = predictor.predict(
        prompts['points'],
        prompts['labels'],
        box=prompts['boxes'],
        mask_input=prompts['mask_inputs'],
        return_logits=True,
    )
    logits, predicted = backend.predict(features, **prompts)
    np.testing.assert_allclose(predicted, iou, atol=ATOL)
    np.testing.assert_allclose(backend.upscale(features.frame, logits[:, 1]), full[:, 1], atol=ATOL)


# --- what may go wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'type_, package, command',
    [
        ('SAMBackend', 'segment_anything', 'mmrefine[sam]'),
        ('SAMHQBackend', 'segment_anything_hq', 'segment-anything-hq'),
        ('SAM2Backend', 'sam2', 'mmrefine[sam2]'),
    ],
)
def test_missing_package_names_its_install_command(monkeypatch, type_, package, command):
    for name in [name for name in sys.modules if name == package or name.startswith(f'{package}.')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'meta_path', [_Without(package), *sys.meta_path])
    with pytest.raises(ImportError, match='install') as error:
        MODELS.build({'type': type_})
    assert command in str(error.value) and type_ in str(error.value)


class _Without:
    """An import finder that finds one package missing."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == self.package:
            raise ModuleNotFoundError(f'No module named {self.package!r}', name=self.package)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match='vit_x'):
        SAMBackend('vit_x')
    with pytest.raises(ValueError, match=r"'depth'.*'width'"):
        SAMBackend({'embed_dim': 32, 'num_heads': 2, 'global_attn_indexes': (), 'width': 3})
    for make in (SAMBackend, SAM2Backend):
        with pytest.raises(ValueError, match='int8'):
            make(encoder_dtype='int8')
