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
    # By tools/analysis_tools/calibrate_gate.py: fitted to training images (segrefiner_tiny_photos_gate.py); the
    # threshold, from the development set, leaves less than half of the harm and over nine tenths of the gain.
    gate=dict(weights=dict(score=18.167, expected_gain=14.188, sharpness=-2.496), bias=-13.738, min_probability=0.909),
    antialias=True,
    paste_border='border',
    losses=dict(
        loss_mask=dict(type='MaskBCELoss', loss_weight=1.0), loss_texture=dict(type='TextureL1Loss', loss_weight=2.0)
    ),
    max_batch=8,
)
