# The bundled model fine-tuned on a folder of your own images and masks, with simulated coarse masks; if you have
# coarse masks of the model whose masks you want to refine, use segrefiner_tiny_folder_coarse.py.
# data_root/{train,val}/{images,masks}; see _base_/datasets/mask_folder.py. 400 iterations take about 12 minutes on one
# CPU core with --amp.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/segrefiner_tiny.py',
    '../_base_/datasets/mask_folder.py',
]

load_from = 'segrefiner_tiny'
model = dict(encoder=dict(frozen_stages=3))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'image_encoder': dict(lr_mult=0.15)}),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.0, by_epoch=False, begin=30, end=400),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=400, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=200, save_best='refined/boundary_iou', rule='greater'))
