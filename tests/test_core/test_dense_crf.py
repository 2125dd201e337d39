"""Mean field with fast filters against sums over all pairs of pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmrefine.core.dense_crf import bilateral_filter, mean_field, spatial_filter


def scene(seed: int = 0) -> np.ndarray:
    """A bright square on a dark ground, with noise: (24, 30, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((24, 30, 3), 60.0)
    image[6:18, 8:22] = (200, 150, 90)
    return np.clip(image + rng.normal(0, 10, image.shape), 0, 255).astype(np.uint8)


def all_pairs(image: np.ndarray, sigma_px: float, sigma_rgb: float | None) -> np.ndarray:
    """The kernel itself, (P, P)."""
    positions = np.stack(np.mgrid[: image.shape[0], : image.shape[1]], -1).reshape(-1, 2) / sigma_px
    points = positions if sigma_rgb is None else np.hstack([positions, image.reshape(-1, 3) / sigma_rgb])
    return np.exp(-0.5 * ((points[:, None] - points[None]) ** 2).sum(-1))


def brute_force(unary: np.ndarray, kernels: list[np.ndarray], weights: list[float], steps: int) -> np.ndarray:
    """Two-label mean field by matrices, as in the paper: labels that differ cost."""
    flat = unary.ravel()
    q = np.stack([1 / (1 + np.exp(flat)), 1 / (1 + np.exp(-flat))])
    for _ in range(steps):
        energy = np.stack([np.zeros_like(flat), -flat])
        for kernel, weight in zip(kernels, weights, strict=True):
            root = np.sqrt(kernel.sum(1))
            messages = q @ (kernel / root[:, None] / root[None])
            energy += weight * messages[::-1]
        q = np.exp(-energy + energy.min(0))
        q /= q.sum(0)
    return q[1].reshape(unary.shape)


def test_spatial_filter_is_the_sum_over_all_pixels():
    values = np.random.default_rng(1).normal(size=(24, 30))
    expected = all_pairs(scene(), 3, None) @ values.ravel()
    np.testing.assert_allclose(spatial_filter(3)(values).ravel(), expected, rtol=0, atol=0.01)


@pytest.mark.parametrize(('sigma_px', 'sigma_rgb'), [(8, 13), (20, 30), (80, 13)])
def test_bilateral_filter_is_the_sum_over_all_pixels_nearly(sigma_px, sigma_rgb):
    image = scene()
    for values in (np.ones((24, 30)), np.random.default_rng(2).random((24, 30))):
        expected = all_pairs(image, sigma_px, sigma_rgb) @ values.ravel()
        difference = bilateral_filter(image, sigma_px, sigma_rgb)(values).ravel() / expected - 1
        assert np.abs(difference).mean() < 0.15


@pytest.mark.parametrize('steps', [1, 5])
@pytest.mark.parametrize(('sigma_px', 'sigma_rgb'), [(10, 20), (80, 13)])
def test_mean_field_is_that_of_all_pairs(sigma_px, sigma_rgb, steps):
    image = scene()
    coarse = np.zeros((24, 30), bool)
    coarse[4:18, 5:20] = True
    unary = np.where(coarse, 0.85, -0.85)
    filters = [spatial_filter(2), bilateral_filter(image, sigma_px, sigma_rgb)]
    kernels = [all_pairs(image, 2, None), all_pairs(image, sigma_px, sigma_rgb)]
    found = mean_field(unary, filters, [1, 4], steps)
    expected = brute_force(unary, kernels, [1, 4], steps)
    assert np.abs(found - expected).mean() < 0.01
    np.testing.assert_array_equal(
        (found >= 0.5)[np.abs(expected - 0.5) > 0.1], (expected >= 0.5)[np.abs(expected - 0.5) > 0.1]
    )


@pytest.mark.parametrize(('sigma_px', 'sigma_rgb'), [(80, 13), (20, 13), (40, 20)])
def test_labels_on_an_image_are_those_of_all_pairs(repo_root, sigma_px, sigma_rgb):
    photograph = cv2.imread(str(repo_root / 'docs/images/astronaut.jpg'))[0:384:8, 0:384:8, ::-1]
    ys, xs = np.mgrid[:48, :48]
    coarse = np.hypot(ys - 24, xs - 24 + 4 * np.sin(ys / 3)) < 14
    unary = np.where(coarse, 0.85, -0.85)
    found = mean_field(unary, [spatial_filter(3), bilateral_filter(photograph, sigma_px, sigma_rgb)], [3, 10], 5)
    kernels = [all_pairs(photograph, 3, None), all_pairs(photograph, sigma_px, sigma_rgb)]
    expected = brute_force(unary, kernels, [3, 10], 5)
    assert np.mean((expected >= 0.5) != coarse) > 0.1  # there is much to do
    assert np.mean((found >= 0.5) != (expected >= 0.5)) < 0.01


def test_no_kernels_leave_the_unary_term():
    unary = np.array([[-2.0, 0.0, 3.0]])
    np.testing.assert_allclose(mean_field(unary, [], [], 3), 1 / (1 + np.exp(-unary)))
