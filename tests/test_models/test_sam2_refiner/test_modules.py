"""The three modules, each alone."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip('sam2')

from mmrefine.models.sam2_refiner import (  # noqa: E402
    DecoderState,
    LocalizationAugment,
    MaskRefinement,
    PromptRetargeting,
    ReceptiveFieldBlock,
    SAM2RefinerCore,
)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def decoder_state(side: int, dims: int, count: int = 2) -> DecoderState:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator)

    return DecoderState(
        random(dims, side, side), random(dims, side, side), random(6, dims), random(6, dims), random(3, dims)
    )


@pytest.mark.parametrize('side', [8, 16])
def test_shapes(side):
    """e = 8 and 16, inputs of 128 and 256, with widths of no relation to each other."""
    embedding = torch.randn(2, 32, side, side)
    assert LocalizationAugment(32)(embedding, torch.randn(2, 32, 2 * side, 2 * side)).shape == embedding.shape
    prompted, tokens = PromptRetargeting(32, mlp_dims=16)(decoder_state(side, 32), torch.rand(2, 3, 4 * side, 4 * side))
    assert prompted.shape == embedding.shape and tokens.shape == (2, 6, 32)
    stages = [torch.randn(2, channels, side * k, side * k) for channels, k in ((5, 4), (7, 2), (9, 1))]
    logits, aux = MaskRefinement(32, (5, 7, 9))(embedding, stages, torch.randn(2, 3, 16 * side, 16 * side))
    assert logits.shape == (2, 1, 16 * side, 16 * side)
    assert [a.shape[-1] for a in aux] == [side, 2 * side, 4 * side]


@pytest.mark.parametrize(
    ('stage_channels', 'mask_refinement', 'total'),
    [((112, 224, 448), 2_328_340, 4_481_796), ((144, 288, 576), 2_715_412, 4_868_868)],
    ids=['b+', 'large'],
)
def test_parameters_of_the_published_sizes(stage_channels, mask_refinement, total):
    with torch.device('meta'):
        core = SAM2RefinerCore(256, stage_channels)
        gated = SAM2RefinerCore(256, stage_channels, init='identity')
    assert parameters(core.la) == 264_192
    assert parameters(core.pr) == 1_889_264
    assert [parameters(part) for part in (core.pr.context, core.pr.prompt_encoder, core.pr.block)] == [
        288_576,
        21_168,
        1_579_520,
    ]
    assert parameters(core.mr) == mask_refinement
    assert parameters(core) == total
    assert parameters(gated) == total + 1


def test_localization_augment_starts_as_a_no_op_and_then_looks_at_every_quadrant():
    module = LocalizationAugment(32)
    embedding, local = torch.randn(1, 32, 8, 8), torch.randn(1, 32, 16, 16)
    assert torch.equal(module(embedding, local), embedding)
    torch.nn.init.normal_(module.attention.out_proj.weight)
    seen = module(embedding, local)
    for rows in (slice(8), slice(8, None)):
        for columns in (slice(8), slice(8, None)):
            other = local.clone()
            other[..., rows, columns] += 1 + torch.randn(32, 1, 1)
            assert (module(embedding, other) - seen).abs().max() > 1e-4


@pytest.mark.parametrize(('side', 'tokens'), [(16, 84), (32, 336), (128, 5376)])
def test_number_of_local_tokens(side, tokens):
    module = LocalizationAugment(32)
    seen = []
    module.norm_local.register_forward_hook(lambda *call: seen.append(call[1][0].shape[1]))
    module(torch.zeros(1, 32, 2, 2), torch.zeros(1, 32, side, side))
    assert seen == [tokens]


def test_local_features_that_cannot_be_pooled_are_named():
    with pytest.raises(ValueError, match=r'\(12, 12\) cells cannot be pooled by \(2, 4, 8\)'):
        LocalizationAugment(32)(torch.zeros(1, 32, 6, 6), torch.zeros(1, 32, 12, 12))


def test_receptive_field_reaches_three_cells_along_each_axis():
    block = ReceptiveFieldBlock(16).eval()
    x = torch.randn(1, 16, 15, 15).requires_grad_()
    block(x)[0, :, 7, 7].sum().backward()
    reached = x.grad.abs().sum(dim=(0, 1)) > 0
    assert reached.any(dim=0).nonzero().flatten().tolist() == list(range(4, 11))
    assert reached.any(dim=1).nonzero().flatten().tolist() == list(range(4, 11))


def test_gated_retargeting_is_identity_at_first_and_learns():
    module = PromptRetargeting(32, mlp_dims=16, gated=True)
    state = decoder_state(8, 32)
    embedding, tokens = module(state, torch.rand(2, 3, 32, 32))
    assert torch.equal(embedding, state.embedding) and torch.equal(tokens, state.output_tokens)
    embedding.square().sum().backward()
    assert module.gate.grad != 0


def test_retargeting_hears_clicks_tokens_and_positions():
    module = PromptRetargeting(32, mlp_dims=16)
    state, prompt_map = decoder_state(8, 32), torch.rand(2, 3, 32, 32)
    embedding, tokens = module(state, prompt_map)
    for name in ('embedding', 'positions', 'output_tokens', 'initial_tokens', 'sparse'):
        fields = {**vars(state), name: getattr(state, name).flip(-1)}
        assert (module(DecoderState(**fields), prompt_map)[0] - embedding).abs().max() > 1e-4, name
    assert (module(state, prompt_map.flip(1))[1] - tokens).abs().max() > 1e-4


def test_modules_do_not_mix_a_batch():
    state, prompt_map = decoder_state(8, 32), torch.rand(2, 3, 32, 32)
    alone = DecoderState(*(value[1:] for value in vars(state).values()))
    module = PromptRetargeting(32, mlp_dims=16)
    # float32 sums in another order
    torch.testing.assert_close(module(state, prompt_map)[0][1:], module(alone, prompt_map[1:])[0], rtol=0, atol=1e-5)


def test_switches_and_settings_are_checked():
    core = SAM2RefinerCore(32, (4, 8, 16), la=None, pr=None, mr={})
    assert core.la is None and core.pr is None and core.mr is not None
    assert SAM2RefinerCore(32, (4, 8, 16), la={'pools': (2, 4)}).la.pools == (2, 4)
    with pytest.raises(ValueError, match="init must be 'paper' or 'identity', got 'zero'"):
        SAM2RefinerCore(32, (4, 8, 16), init='zero')
    with pytest.raises(ValueError, match='multiple of 16, got 40'):
        SAM2RefinerCore(40, (4, 8, 16))
