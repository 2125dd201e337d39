"""The small segmenter of our own: its decoder against plain convolutions, and how it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmrefine.models.backends import TinySAMBackend
from mmrefine.models.losses import MultimaskLoss
from mmrefine.models.refiners import TrainableSAMRefiner
from mmrefine.structures import RefineDataSample
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks
from tests.helpers.tiny_sam import noise_image, some_prompts

SIZE = 64
SMALL = dict(type='TinySAMBackend', image_size=SIZE, dim=32, model_channels=32, channel_mult=(1, 1, 1, 1))
WINDOW = dict(margin_px=2, margin_ratio=0.3)


def build(**kwargs) -> TrainableSAMRefiner:
    torch.manual_seed(0)
    return TrainableSAMRefiner(backend=dict(SMALL, trainable=True), iters=1, window=WINDOW, **kwargs)


def sample(seed: int = 0) -> tuple[torch.Tensor, RefineDataSample]:
    image = photograph(SIZE, SIZE, seed)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    truth = (ys - SIZE * 0.5) ** 2 + (xs - SIZE * 0.45) ** 2 < (0.3 * SIZE) ** 2
    packed = RefineDataSample(metainfo={'seed': seed})
    packed.gt_masks = torch.from_numpy(truth.astype(np.uint8))[None]
    packed.coarse_masks = torch.from_numpy(np.roll(truth, 6, axis=1).astype(np.uint8))[None]
    return torch.from_numpy(image).permute(2, 0, 1), packed


class TestContract(RefinerContract):
    @pytest.fixture(scope='class')
    def refiner(self):
        return build(quality=('expected_iou',))


@torch.no_grad()
def test_finer_features_join_the_upscaling():
    """The decoder on tokens against the package's own modules, with SAM 2's order: add, normalise, activate."""
    backend = TinySAMBackend(image_size=SIZE, dim=32, channel_mult=(1, 1, 1, 1))
    features = backend.encode(noise_image((60, 90)))
    assert [tuple(level.shape) for level in (features.embedding, *features.extras)] == [
        (32, 8, 8),
        (8, 16, 16),
        (4, 32, 32),
    ]
    prompts = some_prompts(3, (60, 90), backend.prompt_hw)
    logits, _ = backend.predict(features, **prompts)

    encoder, decoder = backend.sam.prompt_encoder, backend.sam.mask_decoder
    points = torch.from_numpy(features.frame.to_input(prompts['points'])), torch.from_numpy(prompts['labels'])
    boxes = torch.from_numpy(features.frame.boxes_to_input(prompts['boxes']))
    sparse, dense = encoder(points, boxes, torch.from_numpy(prompts['mask_inputs']))
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(3, -1, -1)
    source = features.embedding[None] + dense
    place = encoder.get_dense_pe().expand(3, -1, -1, -1)
    hidden, image = decoder.transformer(source, place, torch.cat([tokens, sparse], dim=1))
    first, norm, act1, second, act2 = decoder.output_upscaling
    x = act1(norm(first(image.mT.view(3, 32, 8, 8)) + features.extras[0]))
    x = act2(second(x) + features.extras[1])
    weights = torch.stack([decoder.output_hypernetworks_mlps[k](hidden[:, 1 + k]) for k in (1, 2, 3)], dim=1)
    torch.testing.assert_close(logits, (weights @ x.flatten(2)).view(3, 3, 32, 32), atol=1e-4, rtol=0)


@torch.no_grad()
def test_one_prompt_of_each_image_equals_one_after_the_other():
    backend = TinySAMBackend(image_size=SIZE, dim=32, channel_mult=(1, 1, 1, 1))
    images = [noise_image((SIZE, SIZE), seed) for seed in range(3)]
    prompts = some_prompts(3, (SIZE, SIZE), backend.prompt_hw)
    embedding, *details = backend.encode_batch(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float())
    single = [backend.encode(image) for image in images]
    together, iou = backend.predict(type(single[0])(single[0].frame, embedding, tuple(details)), **prompts)
    for index, features in enumerate(single):
        logits, one = backend.predict(features, **{name: value[index : index + 1] for name, value in prompts.items()})
        torch.testing.assert_close(logits[0], together[index], atol=1e-4, rtol=0)
        torch.testing.assert_close(one[0], iou[index], atol=1e-4, rtol=0)


def test_learns_from_its_prompts():
    refiner = build(full_prob=1.0)
    inputs, samples = zip(*(sample(seed) for seed in range(4)), strict=True)
    optimizer = torch.optim.AdamW(refiner.parameters(), 2e-3)
    history = []
    for _ in range(30):
        losses = refiner(inputs, samples, mode='loss')
        loss = losses['loss_mask'] + losses['loss_texture'] + losses['loss_iou']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.5 * history[0]
    assert losses['iou'] > 0.8  # the shifted masks have 0.66


def test_combination_of_prompts_follows_from_the_seed():
    refiner = build(full_prob=0.0)
    prompts = dict(points=1, labels=2, boxes=3, mask_inputs=4)
    drawn = [tuple(refiner._some(prompts, seed)) for seed in range(40)]
    assert drawn == [tuple(refiner._some(prompts, seed)) for seed in range(40)]
    assert len(set(drawn)) == 7 and () not in drawn
    assert all(('points' in names) == ('labels' in names) for names in drawn)


def test_window_of_another_size_is_named():
    image, packed = sample()
    with pytest.raises(ValueError, match=r'must be \(64, 64\) pixels, got \(32, 32\)'):
        build()([image[:, ::2, ::2]], [packed], mode='loss')


def test_nothing_outside_of_the_window_changes():
    refiner, masks = build(), rough_masks()
    masks[1:] = False
    masks[1, 40:44, 40:44] = True
    result = refiner.refine(photograph(), masks[:2])
    ys, xs = np.nonzero(result.masks[1])
    assert ((ys >= 37) & (ys < 47) & (xs >= 37) & (xs < 47)).all()  # 2 px and 0.3 of 4 px around it


def test_nearest_output_is_trained_and_all_predict_their_iou():
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4] = 1
    right, wrong = (target * 2 - 1) * 20, (1 - target * 2) * 20
    logits = torch.cat([wrong, right, torch.full_like(right, 20)], dim=1).requires_grad_()
    losses = MultimaskLoss(texture_weight=1, iou_weight=1, other_weight=0)(
        logits, torch.tensor([[0.0, 1, 0.5]]), target
    )
    assert losses['loss_mask'] < 1e-6 and losses['loss_texture'] < 1e-6
    assert losses['loss_iou'] == 0 and losses['iou'] == 1
    losses['loss_mask'].backward()
    assert not logits.grad[:, 0].any() and F.relu(logits.grad[:, 2]).sum() == 0
