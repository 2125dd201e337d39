# LR-SegRefiner of the paper: eight GPUs, 120k iterations. Intended differences: an object's crop never loses its last
# column or row to rounding, and the coarse masks match the released generator's statistics, not its draws.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/segrefiner_lr.py',
    '../_base_/datasets/lvis_objects.py',
]

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.0))
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[80000, 100000], gamma=0.5)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=120000, val_interval=1000000)
default_hooks = dict(checkpoint=dict(interval=5000))
