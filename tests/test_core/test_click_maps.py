"""Discs of clicks, and which prompts draw none."""

from __future__ import annotations

import torch

from mmrefine.core.click_maps import click_maps, disc_radius


def test_disc_of_one_click_by_hand():
    # (x, y) = (9.5, 5.5) of the image lies at (2, 1) of a map of stride 4: a disc of radius 1 is a plus.
    maps = click_maps(torch.tensor([[[9.5, 5.5]]]), torch.tensor([[1]]), map_side=5, radius=1)
    expected = torch.zeros(5, 5)
    expected[1, 1:4] = expected[0, 2] = expected[2, 2] = 1
    torch.testing.assert_close(maps[0, 0], expected)
    assert not maps[0, 1].any()


def test_labels_choose_the_map_and_boxes_draw_nothing():
    coords = torch.tensor([[[4.0, 4], [60, 60], [20, 40], [40, 20], [0, 0]]])
    maps = click_maps(coords, torch.tensor([[1, 0, 2, 3, -1]]), map_side=16)
    assert maps[0, 0, 1, 1] == 1 and maps[0, 1, 15, 15] == 1
    assert maps[0, 0].sum() > 0 and maps[0, 1].sum() > 0
    only_box = click_maps(coords[:, 2:], torch.tensor([[2, 3, -1]]), map_side=16)
    assert not only_box.any()
    assert torch.equal(click_maps(coords[:, :2], torch.tensor([[1, 0]]), map_side=16), maps)


def test_discs_are_joined_and_cut_at_the_border():
    both = click_maps(torch.tensor([[[0.0, 0], [63, 0]]]), torch.tensor([[1, 1]]), map_side=16, radius=2)[0, 0]
    first = click_maps(torch.tensor([[[0.0, 0]]]), torch.tensor([[1]]), map_side=16, radius=2)[0, 0]
    assert torch.equal(both, torch.maximum(first, first.flip(1)))


def test_no_points_and_the_radius_by_size():
    assert not click_maps(torch.zeros(2, 0, 2), torch.zeros(2, 0), map_side=8).any()
    assert [disc_radius(side) for side in (256, 64, 32, 512)] == [5, 1, 1, 10]
