# The paper's network: 118,604,673 parameters, 256-px object crops.
model = dict(
    type='SegRefiner',
    denoiser=dict(
        type='DenoiseUNet',
        in_channels=4,
        out_channels=1,
        model_channels=128,
        channel_mult=(1, 1, 2, 2, 4, 4),
        num_res_blocks=2,
        num_heads=4,
        attention_strides=(16, 32),
        num_steps=6,
    ),
    schedule=dict(num_steps=6, first=0.8, last=0.0),
    input_size=256,
    margin_px=20,
    min_area=512,
    losses=dict(
        loss_mask=dict(type='MaskBCELoss', loss_weight=1.0), loss_texture=dict(type='TextureL1Loss', loss_weight=5.0)
    ),
    max_batch=8,
)
