# Detector trained on the labelled images only, from which both kinds of semi-supervised training start.
_base_ = '../../test_time/configs/mask-rcnn_nuts.py'
max_iters = 600
train_dataloader = dict(dataset=dict(ann_file='labelled.json'))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, eta_min=1e-5),
]
