# A light decoder on a pretrained EfficientNet-Lite0, 224-px crops, two colour cues: small enough for a laptop CPU.
model = dict(
    type='SegRefiner',
    encoder=dict(type='TimmEncoder', name='tf_efficientnet_lite0'),
    denoiser=dict(type='PyramidDenoiser', in_channels=6, widths=(32, 64, 128, 160, 256), num_steps=6),
    # The encoder was pretrained on images normalized like this.
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
    schedule=dict(num_steps=6, first=0.8, last=0.0),
    input_size=224,
    margin_px=2,
    margin_ratio=0.2,
    min_area=64,
    cues=(dict(bins=16, cells=1), dict(bins=8, cells=6)),
    final_step_prob=0.85,
    # One step, at which every pixel is coarse, then the same on windows along the contour of large objects: more gain
    # than three steps at a third of their cost, chosen on the development set (segrefiner_tiny_photos_dev.py).
    steps=(5,),
    window_steps=(5,),
    only_connected=True,
    # tools/analysis_tools/calibrate_gate.py --by-folder --folds 12 on the development set: half of the harm on
    # simulated masks is left, and at least nine tenths of the gain on either kind.
    gate=dict(
        weights=dict(
            score=8.499, expected_gain=3.889, agreement=-2.191, area_ratio=-1.527, relative_size=2.006, sharpness=-2.037
        ),
        bias=-3.599,
        min_probability=0.862,
    ),
    antialias=True,
    paste_border='border',
    losses=dict(
        loss_mask=dict(type='MaskBCELoss', loss_weight=1.0), loss_texture=dict(type='TextureL1Loss', loss_weight=2.0)
    ),
    max_batch=8,
)
