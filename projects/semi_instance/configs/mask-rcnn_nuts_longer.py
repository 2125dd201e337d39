# Baseline of the semi-supervised runs: the same number of further iterations on the labelled images only.
_base_ = './mask-rcnn_nuts_labelled.py'
load_from = 'work_dirs/mask-rcnn_nuts_labelled/iter_600.pth'
max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=max_iters, eta_min=1e-5),
]
