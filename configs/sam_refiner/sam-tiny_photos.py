# A small segmenter on the photographs and coarse masks of segrefiner_tiny; configs/segrefiner/README.md says how they
# are made, and README.md what came of it.
# load_from starts the encoder from segrefiner_tiny:
#   python tools/model_converters/segrefiner_to_sam_tiny.py configs/sam_refiner/sam-tiny_photos.py segrefiner_tiny \
#       work_dirs/sam_tiny_start.pth
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/sam_tiny.py',
    '../_base_/datasets/photo_objects.py',
]

load_from = 'work_dirs/sam_tiny_start.pth'
train_dataloader = dict(dataset=dict(seed=10))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=2600, eta_min=1e-5),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2600, val_interval=100000)
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [
    dict(type='FastForwardHook'),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.003, priority='NORMAL'),
]
