# The bundled model trained further on a folder of your own images and masks; see _base_/datasets/mask_folder.py.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/segrefiner_tiny.py',
    '../_base_/datasets/mask_folder.py',
]

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-4, weight_decay=1e-4), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=3000, T_max=2900, eta_min=0),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=3000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500, save_best='refined/boundary_iou', rule='greater'))
