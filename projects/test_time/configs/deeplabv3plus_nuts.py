# A slim DeepLabV3+ from scratch, objects against background, on the same images at half their size.
_base_ = ['mmseg::_base_/models/deeplabv3plus_r50-d8.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmrefine.compat.auto'])

data_root = '{{$NUTS:data/nuts18}}'
metainfo = dict(classes=('background', 'object'), palette=[[0, 0, 0], [128, 0, 0]])
size_wh = (400, 300)
crop_wh = (256, 256)
max_iters = 900

norm = dict(type='GN', num_groups=8)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=crop_wh[::-1], test_cfg=dict(size_divisor=32)),
    backbone=dict(
        depth=18, stem_channels=16, base_channels=32, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), norm_cfg=norm
    ),
    decode_head=dict(
        in_channels=256,
        channels=64,
        dilations=(1, 4, 8, 12),
        c1_in_channels=32,
        c1_channels=16,
        num_classes=2,
        norm_cfg=norm,
    ),
    auxiliary_head=dict(in_channels=128, channels=32, num_classes=2, norm_cfg=norm),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=size_wh, ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_wh[::-1]),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size_wh, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    metainfo=metainfo,
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(dataset, ann_file='train.txt', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, ann_file='val.txt', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=0.9, by_epoch=False, begin=50, end=max_iters, eta_min=1e-5),
]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mmrefine.WholeCheckpointHook', by_epoch=False, interval=300, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
randomness = dict(seed=0)
