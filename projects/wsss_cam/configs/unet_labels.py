# A small U-Net of MMSegmentation from scratch, on label maps in the folder LABELS (that of ground truth by default).
_base_ = ['mmseg::_base_/models/fcn_unet_s5-d16.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmrefine.compat.auto'])

tiles = '{{$TILES:data/wsss_tiles}}'
labels = '{{$LABELS:data/wsss_tiles/train/labels}}'
metainfo = dict(
    classes=('background', 'date', 'fig', 'hazelnut'), palette=[[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
)
size = 128
max_iters = 300
norm = dict(type='GN', num_groups=4)
model = dict(
    data_preprocessor=dict(size=(size, size), test_cfg=dict(size_divisor=16)),
    backbone=dict(
        base_channels=16,
        num_stages=4,
        strides=(1,) * 4,
        enc_num_convs=(2,) * 4,
        dec_num_convs=(2,) * 3,
        downsamples=(True,) * 3,
        enc_dilations=(1,) * 4,
        dec_dilations=(1,) * 3,
        norm_cfg=norm,
    ),
    decode_head=dict(in_channels=16, in_index=3, channels=16, num_classes=4, norm_cfg=norm),
    auxiliary_head=None,
    test_cfg=dict(_delete_=True, mode='whole'),
)

load_image = dict(type='LoadImageFromFile')
load_labels = dict(type='LoadAnnotations')
augment = [
    dict(type='Resize', scale=(size, size)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        type='BaseSegDataset',
        data_prefix=dict(img_path=tiles + '/train/images', seg_map_path=labels),
        img_suffix='.png',
        metainfo=metainfo,
        pipeline=[load_image, load_labels, *augment],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_prefix=dict(img_path=tiles + '/val/images', seg_map_path=tiles + '/val/labels'),
        img_suffix='.png',
        metainfo=metainfo,
        pipeline=[load_image, dict(type='Resize', scale=(size, size)), load_labels, dict(type='PackSegInputs')],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01))
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=max_iters, by_epoch=False)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=max_iters),
)
randomness = dict(seed=0)
