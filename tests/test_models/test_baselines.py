"""Refiners one compares with: the contract, and that each moves a boundary to the edge of an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmrefine.models.model_zoo import build_refiner
from mmrefine.models.refiners import CascadePSP, DenseCRF, GrabCut, GuidedFilter
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks

WEIGHTLESS = {'dense_crf': DenseCRF, 'guided_filter': GuidedFilter, 'grab_cut': GrabCut}


class TestDenseCRF(RefinerContract):
    @pytest.fixture
    def refiner(self) -> DenseCRF:
        return DenseCRF()


class TestGuidedFilter(RefinerContract):
    @pytest.fixture
    def refiner(self) -> GuidedFilter:
        return GuidedFilter()


class TestGrabCut(RefinerContract):
    @pytest.fixture
    def refiner(self) -> GrabCut:
        return GrabCut()


def disk_and_rough_mask() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image of the contract, the true disk on it, and the disk with a wavy boundary and shifted."""
    ys, xs = np.mgrid[:96, :128]
    distance = np.hypot(ys - 48, xs - 57.6)
    angle = np.arctan2(ys - 48, xs - 57.6)
    return photograph(), distance < 28.8, distance < 28.8 + 3 * np.sin(7 * angle)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize('name', WEIGHTLESS)
def test_boundary_goes_to_the_edge(name):
    image, gt, coarse = disk_and_rough_mask()
    result = WEIGHTLESS[name]().refine(image, coarse)
    assert iou(coarse, gt) < 0.93 and iou(result.masks[0], gt) > 0.97
    assert result.features['expected_gain'][0] > 0


@pytest.mark.parametrize('name', WEIGHTLESS)
def test_work_is_done_at_most_max_side(name):
    image, gt, coarse = disk_and_rough_mask()
    image, gt, coarse = (cv2.resize(array.astype(np.uint8), (384, 288)) for array in (image, gt, coarse))
    seen = []

    class Watched(WEIGHTLESS[name]):
        def _probabilities(self, image, mask):
            seen.append(mask.shape)
            return super()._probabilities(image, mask)

    result = Watched(max_side=90).refine(image, coarse > 0)
    assert max(seen[0]) == 90
    assert iou(result.masks[0], gt > 0) > iou(coarse > 0, gt > 0)


@pytest.mark.parametrize('name', WEIGHTLESS)
def test_without_weights_the_device_is_the_cpu(name):
    refiner = WEIGHTLESS[name]()
    assert not list(refiner.parameters()) and refiner.device == torch.device('cpu')


@pytest.mark.parametrize('config', ['dense-crf', 'guided-filter', 'grab-cut'])
def test_configs_build_by_name(config):
    assert build_refiner(f'baselines/{config}.py', device='cpu').refine(photograph(), rough_masks()).masks.any()


@pytest.mark.parametrize(
    ('build', 'sentence'),
    [
        (lambda: DenseCRF(confidence=0.4), 'confidence must lie between 0.5 and 1, got 0.4'),
        (lambda: GuidedFilter(eps=0), 'eps above 0, got 8 and 0'),
        (lambda: GrabCut(trust=2), r'trust in \[0.5, 1\]'),
        (lambda: GrabCut(max_side=0), 'max_side must be at least 1 px or None, got 0'),
    ],
)
def test_settings_that_cannot_be_meant(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


class TestCascadePSP(RefinerContract):
    @pytest.fixture
    def refiner(self, monkeypatch) -> CascadePSP:
        package = pytest.importorskip('segmentation_refinement.models.psp.pspnet')
        monkeypatch.setattr(package, 'RefinementModule', FollowsItsInput)
        return CascadePSP(side=80)


class FollowsItsInput(torch.nn.Module):
    """In place of the network: soft mask, all outputs that the package's steps read."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, image, mask, inter_s8=None, inter_s4=None):
        soft = torch.sigmoid(3 * self.scale * torch.nn.functional.avg_pool2d(mask, 5, 1, 2))
        return {'pred_224': soft, 'pred_28_3': soft, 'pred_56_2': soft}


@pytest.mark.parametrize('name', ['scale', 'module.scale', 'network.scale'])
def test_cascade_psp_with_the_weights_of_another_network(tmp_path, monkeypatch, name):
    package = pytest.importorskip('segmentation_refinement.models.psp.pspnet')
    monkeypatch.setattr(package, 'RefinementModule', FollowsItsInput)
    torch.save({name: torch.ones(2, 3)}, tmp_path / 'model')
    with pytest.raises(ValueError, match='model does not match the CascadePSP of the config'):
        build_refiner({'type': 'CascadePSP'}, tmp_path / 'model', 'cpu')
    torch.save({name: torch.tensor(2.0)}, tmp_path / 'model')
    assert build_refiner({'type': 'CascadePSP'}, tmp_path / 'model', 'cpu').network.scale == 2


@pytest.mark.slow
def test_cascade_psp_loads_the_released_names_and_agrees_with_its_package(tmp_path):
    pytest.importorskip('segmentation_refinement')
    from segmentation_refinement.eval_helper import process_high_res_im
    from segmentation_refinement.models.psp.pspnet import RefinementModule

    torch.manual_seed(1)
    network = RefinementModule().eval()
    torch.save({f'module.{name}': value for name, value in network.state_dict().items()}, tmp_path / 'model')
    settings = {'type': 'CascadePSP', 'side': 80, 'margin_px': 1000}
    refiner = build_refiner(settings, tmp_path / 'model', 'cpu')
    image, mask = photograph(), rough_masks()[0]
    pixels = (torch.from_numpy(image).permute(2, 0, 1) / 255 - refiner.mean) / refiner.std
    with torch.no_grad():
        expected = process_high_res_im(network, pixels[None], torch.from_numpy(mask)[None, None] * 2.0 - 1, 80)
        found = refiner._probabilities(image, mask)
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-5)
