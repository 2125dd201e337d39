"""SAM2Refiner on videos against SAM 2 and against itself on images. Random weights, 128x128."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

pytest.importorskip('sam2')

from mmrefine.models.sam2_refiner import (
    SAM2Propagator,
    SAM2Refiner,
    SAM2RefinerCore,
    SAM2RefinerVideoPredictor,
    TrackingVideoRefiner,
    build_video_predictor,
)
from mmrefine.models.sam2_refiner.base import stage_channels
from mmrefine.models.sam2_refiner.video_predictor import _agreeing
from mmrefine.structures import ObjectPrompt
from tests.helpers.tiny_sam2 import SIZE, randomize_local_attention, tiny_sam2

TARGET = 'mmrefine.models.sam2_refiner.SAM2RefinerVideoPredictor'
MISSING = -1024.0
CLICKS = {'points': [[40, 50], [90, 30]], 'labels': [1, 0]}


def make_core(predictor: SAM2RefinerVideoPredictor, **kwargs) -> SAM2RefinerCore:
    torch.manual_seed(1)
    return SAM2RefinerCore(predictor.hidden_dim, stage_channels(predictor), **kwargs).eval().requires_grad_(False)


@pytest.fixture(scope='module')
def predictor() -> SAM2RefinerVideoPredictor:
    return tiny_sam2(target=TARGET)


@pytest.fixture(scope='module')
def core(predictor) -> SAM2RefinerCore:
    """One whose every module has an effect."""
    return randomize_local_attention(make_core(predictor))


@pytest.fixture
def refiner(predictor, core) -> SAM2RefinerVideoPredictor:
    """The predictor with the core, its options as they were afterwards."""
    options = dict(vars(predictor))
    yield predictor.attach_core(core)
    predictor.attach_core(None)
    for name in ('prompt_reuse', 'cached_frames'):
        setattr(predictor, name, options[name])


def make_frames(count: int = 4, size_hw: tuple[int, int] = (SIZE, SIZE)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8) for _ in range(count)]


def square(size_hw: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    mask = np.zeros(size_hw, bool)
    mask[30:80, 20:70] = True
    return mask


def run(predictor, frames, prompt: Callable, **propagate) -> tuple[dict, list[torch.Tensor]]:
    """State and logits (K, 1, H, W) of every frame after prompting."""
    state = predictor.init_state(frames)
    prompt(state)
    return state, [logits for _, _, logits in predictor.propagate_in_video(state, **propagate)]


def outputs(state: dict, index: int = 0) -> dict[int, dict]:
    """What is stored of an object, by frame."""
    kinds = state['output_dict_per_obj'][index]
    return {**kinds['cond_frame_outputs'], **kinds['non_cond_frame_outputs']}


def click(predictor, obj_id: int = 1, frame: int = 0) -> Callable:
    return lambda state: predictor.add_new_points_or_box(state, frame, obj_id, **CLICKS)


def test_first_clicked_frame_is_as_the_image(refiner, core):
    """The same image and clicks give the same logits, bit for bit, whether it is a frame or an image."""
    frame = make_frames(1)[0]
    state = refiner.init_state([frame])
    video = refiner.add_new_points_or_box(state, 0, 1, **CLICKS)[2]
    model = SAM2Refiner(refiner)
    model.core = core
    prompt = ObjectPrompt(torch.tensor(CLICKS['points'], dtype=torch.float32), torch.tensor(CLICKS['labels']).int())
    with torch.no_grad():
        image = model.decode(model.encode(refiner.init_state([frame])['images'][0][None]), [prompt]).logits
    assert torch.equal(video, image)


def test_mask_prompted_frame_is_as_in_sam2(predictor, core):
    """Masks, memory and pointer of a frame that was given; behind it the refiner shows."""
    frames, runs = make_frames(2), []
    for some_core in (None, core):
        predictor.attach_core(some_core)
        runs.append(run(predictor, frames, lambda state: predictor.add_new_mask(state, 0, 1, square())))
    predictor.attach_core(None)
    (plain, plain_logits), (refined, refined_logits) = runs
    assert torch.equal(plain_logits[0], refined_logits[0])
    for name in ('maskmem_features', 'obj_ptr', 'object_score_logits'):
        assert torch.equal(outputs(plain)[0][name], outputs(refined)[0][name])
    assert not torch.allclose(plain_logits[1], refined_logits[1], atol=1e-2)


def test_identity_core_leaves_memories_and_pointers(predictor):
    """Memory is kept in bfloat16, of 8 bits: one unit in the last place of numbers about 0.5 is 2e-3."""
    frames = make_frames(3)
    plain = run(predictor, frames, click(predictor))[0]
    predictor.attach_core(make_core(predictor, init='identity'))
    same = run(predictor, frames, click(predictor))[0]
    predictor.attach_core(None)
    for frame in range(3):
        for name in ('maskmem_features', 'obj_ptr'):
            wanted, got = (outputs(state)[frame][name].float() for state in (plain, same))
            torch.testing.assert_close(got, wanted, atol=2e-3 * max(1.0, 2 * float(wanted.abs().max())), rtol=0)


def test_two_objects_are_as_each_alone(refiner):
    frames = make_frames(3, (96, 120))

    def clicked(state):
        refiner.add_new_points_or_box(state, 0, 1, **CLICKS)

    def masked(state):
        refiner.add_new_mask(state, 0, 7, square((96, 120)))

    alone = [run(refiner, frames, prompt)[1] for prompt in (clicked, masked)]
    state, together = run(refiner, frames, lambda state: (clicked(state), masked(state)))
    assert state['obj_ids'] == [1, 7]
    for frame in range(3):
        assert together[frame].shape == (2, 1, 96, 120)
        assert torch.equal(together[frame], torch.cat([alone[0][frame], alone[1][frame]]))


def test_tracked_masks_are_stored_small_and_handed_out_large(refiner):
    frames = make_frames(2)
    state, logits = run(refiner, frames, click(refiner))
    stored = {frame: output['pred_masks'] for frame, output in outputs(state).items()}
    assert stored[0].shape == (1, 1, SIZE, SIZE)  # preflight encodes the memory of a prompted frame from it
    assert stored[1].shape == (1, 1, SIZE // 4, SIZE // 4)
    assert logits[1].shape == (1, 1, SIZE, SIZE)
    averaged = torch.nn.functional.interpolate(logits[1], SIZE // 4, mode='bilinear', antialias=True)
    assert torch.equal(stored[1], averaged)


def test_object_that_vanishes(refiner):
    """-1024 everywhere, as in sam2, where the object score says that the object is not there."""
    bias = refiner.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data
    state = refiner.init_state(make_frames(3))
    refiner.add_new_points_or_box(state, 0, 1, **CLICKS)
    try:
        bias.fill_(-1000)
        frames = list(refiner.propagate_in_video(state))
    finally:
        bias.fill_(10)
    assert (frames[0][2] > MISSING).any()  # prompted before it vanished
    assert all((logits == MISSING).all() for _, _, logits in frames[1:])


@pytest.mark.parametrize('reuse', ['pr', 'pr_gated', 'all'])
def test_prompt_reuse_changes_later_frames_only(refiner, reuse):
    frames = make_frames(2)
    refiner.prompt_reuse = 'none'
    without = run(refiner, frames, click(refiner))[1]
    refiner.prompt_reuse = reuse
    again = run(refiner, frames, click(refiner))[1]
    assert torch.equal(without[0], again[0])
    assert not torch.equal(without[1], again[1])


def test_mask_prompts_are_not_used_again(refiner):
    """Also where a later frame of the object was clicked: the earliest prompt counts."""
    frames, runs = make_frames(2), []
    for reuse in ('none', 'pr', 'all'):
        refiner.prompt_reuse = reuse
        runs.append(run(refiner, frames, lambda state: refiner.add_new_mask(state, 0, 1, square()))[1])
    assert all(torch.equal(logits[1], runs[0][1]) for logits in runs)


def test_gate_of_stale_clicks():
    """Positive clicks off the mask and negative ones on it go; corners of boxes stay."""
    coarse = torch.full((1, 1, 4, 4), -1.0)
    coarse[0, 0, 0, 0] = 1.0  # input pixels 0 to 3
    coords = torch.tensor([[[1.0, 2.0], [9.0, 9.0], [1.0, 2.0], [9.0, 9.0], [15.9, 16.0]]])
    labels = torch.tensor([[1, 1, 0, 0, 3]])
    assert _agreeing(coords, labels, coarse).tolist() == [True, False, False, True, True]


def test_backwards_and_before_the_first_prompt(refiner):
    """From a frame in the middle both ways; a second object that comes in later is tracked on frames before it, too."""
    frames = make_frames(4)
    state = refiner.init_state(frames)
    refiner.add_new_points_or_box(state, 2, 1, **CLICKS)
    assert [item[0] for item in refiner.propagate_in_video(state, reverse=True)] == [2, 1, 0]
    assert [item[0] for item in refiner.propagate_in_video(state)] == [2, 3]
    refiner.add_new_mask(state, 3, 2, square())
    shapes = [logits.shape[0] for _, _, logits in refiner.propagate_in_video(state, start_frame_idx=0)]
    assert shapes == [2, 2, 2, 2]


def test_correction_of_a_tracked_frame(refiner):
    """A click on a tracked frame changes it and what comes behind it, not the frames before."""
    frames = make_frames(3)
    state, before = run(refiner, frames, click(refiner))
    refiner.add_new_points_or_box(state, 1, 1, points=[[100, 100]], labels=[1])
    corrected = refiner.add_new_points_or_box(state, 1, 1, points=[[10, 100]], labels=[0], clear_old_points=False)[2]
    after = [logits for _, _, logits in refiner.propagate_in_video(state, start_frame_idx=0)]
    assert not torch.equal(corrected, before[1])
    assert torch.equal(after[0], before[0])


def test_streaming_keeps_what_is_looked_at_and_no_more(predictor, monkeypatch):
    """The same masks, from a number of stored outputs and features that does not grow with the clip."""
    monkeypatch.setattr(predictor, 'max_obj_ptrs_in_encoder', 8)
    predictor.attach_core(make_core(predictor, la=None))  # without quadrants, five times as quick
    frames = make_frames(20)
    whole = run(predictor, frames, click(predictor))[1]
    state = predictor.init_state(frames, streaming=True)
    predictor.add_new_points_or_box(state, 0, 1, **CLICKS)
    kept = []
    for frame, _, logits in predictor.propagate_in_video(state):
        assert torch.equal(logits, whole[frame])
        kept.append(len(outputs(state)))
    predictor.attach_core(None)
    assert predictor.reach == 7
    # The prompted frame and seven after it, from where one may turn back, the current one and seven before it.
    assert kept == [min(count, 16) for count in range(1, 21)]
    assert len(state['cached_features']) == 1
    predictor._check_frame(state, 3, 1)
    with pytest.raises(ValueError, match='the output of frame 9 was dropped'):
        predictor.add_new_points_or_box(state, 9, 1, **CLICKS)


def test_features_of_several_frames_are_kept(refiner, monkeypatch):
    """Going to and fro between three frames encodes each once."""
    count = 0
    encode = refiner.forward_image

    def counted(images):
        nonlocal count
        count += 1
        return encode(images)

    monkeypatch.setattr(refiner, 'forward_image', counted, raising=False)
    refiner.cached_frames = 3
    state = refiner.init_state(make_frames(4))
    for frame in (0, 1, 2, 1, 0, 2):
        refiner._get_image_feature(state, frame, 1)
    assert count == 3
    refiner._get_image_feature(state, 3, 1)
    assert sorted(state['cached_features']) == [1, 2, 3]


def test_propagator_asks_neighbours(refiner):
    """Empty objects stay empty, the frame's own mask plays no part, order is kept."""
    frames = make_frames(3, (96, 120))
    masks = np.stack([np.zeros((96, 120), bool), square((96, 120))])
    propagator = SAM2Propagator(refiner)
    propagator.start_clip()
    first = propagator.propagate(frames, {0: masks, 2: masks}, 1)
    again = propagator.propagate(frames, {0: masks, 1: ~masks, 2: masks}, 1)
    assert first.shape == (2, 96, 120) and not first[0].any()
    assert np.array_equal(first, again)


class Prompts:
    """The first object on frame 1, the second on frame 2."""

    object_ids = [3, 5]

    def load(self, index: int) -> list[np.ndarray | None]:
        return [square() if index == 1 else None, square() if index == 2 else None]


def test_tracking_refiner_follows_prompts(refiner):
    results = list(TrackingVideoRefiner(refiner).refine_clip(make_frames(4), Prompts()))
    assert [item.index for item in results] == [0, 1, 2, 3]
    assert not results[0].masks.any() and not results[1].masks[1].any()
    assert [item.given.tolist() for item in results] == [[False] * 2, [True, False], [False, True], [False] * 2]
    # The model keeps a mask at a quarter of its input's side, so edges come back half a pixel off and corners rounder.
    assert (results[1].masks[0] ^ square()).sum() < 0.02 * square().sum()
    assert all(np.array_equal(item.coarse_masks[~item.given], item.masks[~item.given]) for item in results)
    assert results[2].scores[0] > 0.99


class NoPrompts(Prompts):
    def load(self, index):
        return [None, np.zeros((SIZE, SIZE), bool)]


def test_tracking_without_a_mask_is_refused(refiner):
    with pytest.raises(ValueError, match='nothing to track'):
        list(TrackingVideoRefiner(refiner).refine_clip(make_frames(2), NoPrompts()))


def test_bad_prompts(refiner):
    state = refiner.init_state(make_frames(2, (96, 120)))
    refused = [
        ('add_new_points_or_box', {'points': [[120.5, 20]], 'labels': [1]}, 'points must lie inside .* 120x96'),
        ('add_new_points_or_box', {'points': [[float('nan'), 20]], 'labels': [1]}, 'points must lie inside'),
        ('add_new_points_or_box', {'points': [[10, 20]], 'labels': [2]}, 'labels must be 1'),
        ('add_new_points_or_box', {'box': [10, 10, 130, 50]}, 'box must lie inside'),
        ('add_new_points_or_box', {'box': [50, 10, 10, 50]}, 'x0 < x1'),
        ('add_new_mask', {'mask': np.zeros((96, 120), bool)}, 'is empty'),
        ('add_new_mask', {'mask': square((120, 96))}, 'the size of the video'),
    ]
    for name, arguments, message in refused:
        with pytest.raises(ValueError, match=message):
            getattr(refiner, name)(state, 0, 1, **arguments)
    with pytest.raises(ValueError, match='frames 0 to 1'):
        refiner.add_new_points_or_box(state, 2, 1, **CLICKS)
    assert state['obj_ids'] == []  # nothing of it was kept


def test_bad_options(predictor):
    for overrides, message in (
        ('++model.prompt_reuse=always', 'prompt_reuse must be one of'),
        ('++model.clear_non_cond_mem_around_input=true', 'leave it off'),
        ('++model.fill_hole_area=8', 'fill_hole_area must be 0'),
    ):
        with pytest.raises(Exception, match=message):  # hydra wraps what a constructor raises
            tiny_sam2(target=TARGET, overrides=(overrides,))
    with pytest.raises(ValueError, match='another SAM 2'):
        predictor.attach_core(SAM2RefinerCore(48, stage_channels(predictor)))
    with pytest.raises(ValueError, match='no frame'):
        predictor.init_state([])


CONFIG = {'type': 'SAM2Refiner', 'base': {'config': 'sam2.1_hiera_t', 'small': {}}, 'core': {'init': 'identity'}}


def test_built_from_a_config(tmp_path):
    assert build_video_predictor(CONFIG, device='cpu', refine=False).core is None
    built = build_video_predictor(CONFIG, device='cpu', prompt_reuse='pr_gated')
    assert built.prompt_reuse == 'pr_gated' and built.core.residual and built._tile_scale == 1
    assert build_video_predictor(CONFIG, device='cpu', tile_scale=0.5)._tile_scale == 0.5
    with pytest.raises(ValueError, match='must describe a SAM2Refiner'):
        build_video_predictor({'type': 'SegRefiner'})
    wider = SAM2RefinerCore(48, stage_channels(built))
    torch.save({f'core.{name}': value for name, value in wider.state_dict().items()}, tmp_path / 'wider.pth')
    with pytest.raises(ValueError, match='belong'):
        build_video_predictor(CONFIG, tmp_path / 'wider.pth', device='cpu')
