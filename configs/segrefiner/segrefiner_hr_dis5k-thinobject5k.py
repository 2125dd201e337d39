# HR-SegRefiner of the paper: 40k iterations from the LR model's weights. Intended differences: coarse masks are made
# during training, object views and patches are drawn independently, and images smaller than a patch are
# padded where the released code halves the patch.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/segrefiner_hr.py',
    '../_base_/datasets/dis5k_thinobject5k.py',
]

load_from = 'work_dirs/segrefiner_lr_lvis/iter_120000.pth'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.0))
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[20000, 35000], gamma=0.5)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=1000000)
default_hooks = dict(checkpoint=dict(interval=5000))
