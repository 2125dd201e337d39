# The bundled model, second stage: from the first stage's averaged weights down to learning rate 0, on new draws.
_base_ = './segrefiner_tiny_photos.py'

load_from = 'work_dirs/segrefiner_tiny_photos/iter_2000.pth'
train_dataloader = dict(dataset=dict(seed=1))
optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.0, by_epoch=False, begin=50, end=1000),
]
train_cfg = dict(max_iters=1000)
