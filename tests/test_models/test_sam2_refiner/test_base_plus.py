"""The size that is used in earnest: base plus on inputs of 1024 pixels, with random weights."""

from __future__ import annotations

import pytest
import torch

from mmrefine.models.sam2_refiner import SAM2Refiner
from mmrefine.models.sam2_refiner.base import build_base
from mmrefine.models.sam2_refiner.core import upsample
from mmrefine.structures import ObjectPrompt


@pytest.mark.slow
def test_identity_start_is_sam2_itself():
    """Five passes of the encoder and prompts of two kinds; bit for bit."""
    pytest.importorskip('sam2')
    torch.manual_seed(0)
    model = SAM2Refiner(build_base('sam2.1_hiera_b+'), core={'init': 'identity'}, tile_chunk=1).eval()
    images = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    prompts = [ObjectPrompt.of([[300, 420], [800, 90]], [1, 0]), ObjectPrompt.of(box=[100, 200, 600, 900])]
    with torch.no_grad():
        frozen = model.encode_frozen(images)
        plain = model.decode(frozen, prompts, image_index=[0, 0], refine=False)
        refined = model.decode(model.localize(frozen), prompts, image_index=[0, 0])
    assert frozen.local.shape == (1, 256, 128, 128) and refined.logits.shape == (2, 1, 1024, 1024)
    assert torch.equal(refined.coarse, plain.coarse)
    assert torch.equal(refined.logits, upsample(plain.coarse, images))
