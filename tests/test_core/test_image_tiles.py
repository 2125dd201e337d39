"""Quadrants and positions."""

from __future__ import annotations

import pytest
import torch

from mmrefine.core.image_tiles import assemble_quadrants, centred_sine_positions, split_quadrants


def test_quadrants_in_reading_order():
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    tiles = split_quadrants(picture)
    assert tiles[:, 0].tolist() == [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[8, 9], [12, 13]], [[10, 11], [14, 15]]]


def test_assembling_undoes_splitting():
    pictures = torch.randn(3, 2, 6, 10, generator=torch.Generator().manual_seed(0))
    tiles = split_quadrants(pictures)
    assert tiles.shape == (12, 2, 3, 5)
    assert torch.equal(tiles[4:8], split_quadrants(pictures[1:2]))
    assert torch.equal(assemble_quadrants(tiles), pictures)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match='even sides, got 5x6'):
        split_quadrants(torch.zeros(1, 1, 5, 6))
    with pytest.raises(ValueError, match='four quadrants per image, got 3'):
        assemble_quadrants(torch.zeros(3, 1, 2, 2))


def test_positions_are_those_of_cell_centres():
    """The centre of a coarse grid's middle cell is the same place on a grid three times as fine."""
    coarse, fine = (centred_sine_positions(side, side, 16) for side in (3, 9))
    assert coarse.shape == (1, 16, 3, 3)
    torch.testing.assert_close(coarse, fine[:, :, 1::3, 1::3], rtol=0, atol=1e-5)  # sines of float32 angles
    rows = centred_sine_positions(4, 7, 8)[0]
    assert torch.equal(rows[:4, :, 0], rows[:4, :, 6]) and torch.equal(rows[4:, 0], rows[4:, 3])
    first = torch.tensor(2 * torch.pi * 0.5 / 4)
    torch.testing.assert_close(rows[0, 0, 0], first.sin())
    torch.testing.assert_close(rows[2, 0, 0], first.cos())
    with pytest.raises(ValueError, match='multiple of 4, got 6'):
        centred_sine_positions(2, 2, 6)
