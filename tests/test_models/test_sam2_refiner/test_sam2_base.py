"""The frozen SAM 2 under SAM2Refiner."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmrefine.core.image_tiles import split_quadrants
from mmrefine.models.sam2_refiner.base import build_base, encode_images, local_features, prompt_masks, stage_channels
from mmrefine.models.sam2_refiner.decoder_capture import captured_decoder, masks_of_embedding
from tests.helpers.tiny_sam2 import SIZE, tiny_sam2


def test_tiny_model_is_frozen_and_small(base):
    assert sum(parameter.numel() for parameter in base.parameters()) == pytest.approx(0.88e6, rel=0.01)
    assert not base.training and not any(parameter.requires_grad for parameter in base.parameters())
    assert stage_channels(base) == (16, 32, 64)


def test_features_are_those_of_sam2(base, images):
    features = encode_images(base, images[:2])
    levels = base.forward_image(images[:2])['backbone_fpn']
    assert [tuple(stage.shape[1:]) for stage in features.stages] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert torch.equal(features.fine[0], levels[0]) and torch.equal(features.fine[1], levels[1])
    assert torch.equal(features.embedding, levels[2] + base.no_mem_embed.view(1, -1, 1, 1))
    assert torch.equal(features.stages[0], base.image_encoder.trunk(images[:2])[0])
    assert not base.image_encoder.trunk._forward_hooks  # the hook is gone


def test_every_quadrant_is_that_tile_encoded_alone(base, images):
    local = local_features(base, images[:2])
    assert local.shape == (2, 32, 16, 16)
    for k, quadrant in enumerate((local[..., :8, :8], local[..., :8, 8:], local[..., 8:, :8], local[..., 8:, 8:])):
        tile = split_quadrants(images[:1])[k : k + 1]
        enlarged = F.interpolate(tile, (SIZE, SIZE), mode='bilinear', align_corners=False)
        alone = base.image_encoder(enlarged)['vision_features']
        torch.testing.assert_close(quadrant[:1], alone, rtol=0, atol=1e-5)  # float32 sums in another order


def test_chunks_change_nothing_and_half_scale_halves_the_grid(base, images):
    together, one_by_one = (local_features(base, images[:1], tile_chunk=chunk) for chunk in (4, 1))
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-5)
    assert local_features(base, images[:1], tile_scale=0.5).shape == (1, 32, 8, 8)
    assert encode_images(base, images[:1], tile_scale=0).local is None
    with pytest.raises(ValueError, match='tile_scale must be 1 or 0.5'):
        local_features(base, images[:1], tile_scale=0.3)


def test_fewer_quadrants_at_once_where_memory_is_short(base, images, monkeypatch):
    encode, sizes = base.image_encoder.forward, []

    def forward(tiles, room=1):
        sizes.append(len(tiles))
        if len(tiles) > room:
            raise torch.OutOfMemoryError('no memory')
        return encode(tiles)

    together = local_features(base, images[:1])
    monkeypatch.setattr(base.image_encoder, 'forward', forward)
    torch.testing.assert_close(local_features(base, images[:1]), together, rtol=0, atol=1e-5)
    assert sizes == [4, 2, 1, 1, 1, 1]
    monkeypatch.setattr(base.image_encoder, 'forward', lambda tiles: forward(tiles, room=0))
    with pytest.raises(torch.OutOfMemoryError):
        local_features(base, images[:1])


@pytest.mark.parametrize('multimask', [False, True])
def test_masks_of_embedding_repeat_the_decoder(base, images, multimask):
    features = encode_images(base, images, tile_scale=0)
    coords = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0)) * SIZE
    labels = torch.tensor([[1, 0, 1], [2, 3, 1], [1, 1, 1], [2, 3, 0]], dtype=torch.int32)
    coarse = prompt_masks(base, features.embedding, features.fine, coords, labels, None, multimask)
    state = coarse.state
    again = masks_of_embedding(
        base.sam_mask_decoder, state.embedding, state.output_tokens, coarse.mask_index, features.fine
    )
    torch.testing.assert_close(again, coarse.logits, rtol=0, atol=1e-6)
    assert set(coarse.mask_index.tolist()) <= ({1, 2, 3} if multimask else {0})
    assert coarse.logits.shape == (4, 1, 32, 32) and state.sparse.shape == (4, 4, 32)  # with the package's own pad


def test_capture_sees_every_call_and_leaves_no_hook(base, images):
    features = encode_images(base, images[:1], tile_scale=0)
    coords, labels = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.int32)
    with pytest.raises(RuntimeError, match='stop'), captured_decoder(base.sam_mask_decoder) as states:
        prompt_masks(base, features.embedding, features.fine, coords, labels)
        raise RuntimeError('stop')
    assert len(states) == 1 and not base.sam_mask_decoder.transformer._forward_hooks


def test_wrong_images_and_models_are_named(base):
    with pytest.raises(ValueError, match=r'shape \(B, 3, 128, 128\), the size of the model, got \(1, 3, 64, 64\)'):
        encode_images(base, torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match='image_size must be a multiple of 64, got 100'):
        build_base('sam2.1_hiera_t', small={'image_size': 100})
    with pytest.raises(ValueError, match='hidden_dim must be a multiple of 16, got 40'):
        build_base('sam2.1_hiera_t', small={'hidden_dim': 40})
    swaps = '++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true'
    with pytest.raises(ValueError, match='apply_postprocessing=False'):
        tiny_sam2(overrides=(swaps,))


def test_checkpoint_of_another_size_is_named(base, tmp_path):
    torch.save({'model': base.state_dict()}, tmp_path / 'tiny.pt')
    with pytest.raises(ValueError, match=r'tiny.pt does not belong to this SAM2Base: .* of another shape'):
        tiny_sam2(hidden_dim=48, checkpoint=str(tmp_path / 'tiny.pt'))
