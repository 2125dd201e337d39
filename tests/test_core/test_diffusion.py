"""The diffusion process against the released code's numbers and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.core.diffusion import DiffusionSchedule, reverse_process
from mmrefine.registry import MODELS
from tests.helpers.reference import LOGITS_ATOL, PROBABILITIES_ATOL, TINY_UNET, floats, load, tiny_weights, uniform


def test_schedule_is_the_papers():
    expected = load('E_diffusion_s0')
    schedule = DiffusionSchedule()
    np.testing.assert_allclose(schedule.fine_probs, expected['betas_cumprod'], rtol=0, atol=1e-15)
    np.testing.assert_allclose(schedule.previous_fine_probs, expected['betas_cumprod_prev'], rtol=0, atol=1e-15)


@pytest.mark.parametrize('bad', [{'num_steps': 1}, {'first': 0.1, 'last': 0.5}, {'first': 1.2}])
def test_schedule_refuses_nonsense(bad):
    with pytest.raises(ValueError, match='num_steps >= 2 and 0 <= last < first <= 1, got'):
        DiffusionSchedule(**bad)


def test_forward_process_draws_the_released_pixels():
    expected = load('E_diffusion_s0')
    drawn = DiffusionSchedule().add_noise(
        floats(expected['q_fine']),
        floats(expected['q_coarse']),
        torch.from_numpy(expected['q_t']),
        uniform(expected['q_noise_u8']),
    )
    np.testing.assert_array_equal(drawn, expected['q_out'])


@pytest.mark.parametrize('t', range(6))
def test_reverse_step_gives_the_released_fine_probabilities(t):
    expected = load('E_diffusion_s0')
    fine_probs = DiffusionSchedule().step(floats(expected['p_logits']), t, floats(expected['p_cur_fine_probs']))
    np.testing.assert_allclose(fine_probs, expected['p_next_fine_probs'][t], rtol=0, atol=PROBABILITIES_ATOL)


@pytest.mark.parametrize('name', ['full6', 'global5', 'step3'])
def test_reverse_process_of_a_trained_network(name):
    """Every step's input and logits, and the end, in the released order: a batch of two, then one of one."""
    expected = load(f'E_psample_loop_{name}_s0')
    network = MODELS.build(TINY_UNET)
    network.load_state_dict(tiny_weights())
    network.eval()
    noise = iter(sorted((key for key in expected if key.startswith('noise_')), key=lambda key: int(key[6:])))
    images, masks = floats(expected['img']), floats(expected['mask'])
    states, logits = [], []

    def denoise_batch(batch: slice):
        def denoise(x_t, t):
            states.append(x_t)
            logits.append(network(torch.cat([images[batch], x_t], dim=1), t))
            return logits[-1]

        return reverse_process(
            DiffusionSchedule(),
            denoise,
            masks[batch],
            expected['indices'].tolist(),
            lambda: uniform(expected[next(noise)]),
        )

    with torch.no_grad():
        results = [denoise_batch(slice(0, 2)), denoise_batch(slice(2, 3))]
    assert next(noise, None) is None, 'a recorded draw was not asked for'
    result, fine_probs, first = (torch.cat(parts) for parts in zip(*results, strict=True))
    torch.testing.assert_close(first, torch.cat([logits[0], logits[len(logits) // 2]]).sigmoid())
    if 'trace_x_in' in expected:
        np.testing.assert_array_equal(torch.cat(states), expected['trace_x_in'])
        np.testing.assert_allclose(torch.cat(logits), expected['trace_logits'], rtol=0, atol=LOGITS_ATOL)
    np.testing.assert_allclose(fine_probs, expected['fine_probs'], rtol=0, atol=PROBABILITIES_ATOL)
    np.testing.assert_allclose(result, expected['res'], rtol=0, atol=PROBABILITIES_ATOL)


def test_certain_network_makes_every_pixel_fine():
    """With full confidence f reaches exactly 1 at t = 0, whatever the steps before."""
    coarse = torch.zeros(1, 1, 4, 4)
    gt = torch.eye(4).view(1, 1, 4, 4)
    result, fine_probs, _ = reverse_process(
        DiffusionSchedule(),
        lambda x_t, t: (gt - 0.5) * 1e4,
        coarse,
        range(5, -1, -1),
        lambda: torch.rand(1, 1, 4, 4),
    )
    torch.testing.assert_close(result, gt)
    torch.testing.assert_close(fine_probs, torch.ones_like(gt))


def test_steps_left_out_lead_to_the_same_fine_probabilities():
    """A jump from t = 5 to t = 2 makes as many pixels fine as the steps between; with power 0 it is the schedule's."""
    schedule, coarse = DiffusionSchedule(), torch.zeros(1, 1, 3, 3)
    logits = torch.full_like(coarse, 0.3)
    for steps in ((5, 4, 3, 2), (5, 2)):
        _, fine_probs, _ = reverse_process(
            schedule, lambda x_t, t: logits, coarse, steps, lambda: torch.rand(1, 1, 3, 3), confidence_power=0.0
        )
        # After the last step, t = 2, the state is that before it.
        torch.testing.assert_close(fine_probs, torch.full_like(coarse, float(schedule.fine_probs[1])))
    weaker = schedule.step(logits, 5, coarse, confidence_power=1.0)
    stronger = schedule.step(logits, 5, coarse, confidence_power=0.5)
    assert (weaker < stronger).all() and (stronger < schedule.fine_probs[4]).all()
