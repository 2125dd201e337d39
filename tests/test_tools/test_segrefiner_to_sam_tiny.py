"""The encoder of the small segmenter starts from the U-Net of the bundled SegRefiner."""

from __future__ import annotations

import subprocess
import sys

import torch

from mmrefine.models.model_zoo import read_weights


def test_encoder_takes_the_filters_of_the_image(repo_root, tmp_path):
    out = tmp_path / 'start.pth'
    tool = repo_root / 'tools/model_converters/segrefiner_to_sam_tiny.py'
    config = repo_root / 'configs/sam_refiner/sam-tiny_photos.py'
    run = subprocess.run(
        [sys.executable, str(tool), str(config), 'segrefiner_tiny', str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '201 arrays of the encoder taken' in run.stdout
    start, source = read_weights(out), read_weights('segrefiner_tiny')
    first = 'input_blocks.0.0.weight'
    # Four pixels of a patch, three colours each; then come the mask and the cues, which the encoder has not.
    torch.testing.assert_close(
        start[f'image_encoder.unet.{first}'], source[f'denoise_model.{first}'][:, :12].float(), atol=0, rtol=0
    )
    step = start['image_encoder.unet.time_embed.weight']
    torch.testing.assert_close(step, source['denoise_model.time_embed.weight'][-1:].float(), atol=0, rtol=0)
