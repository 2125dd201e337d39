# The paper's 20 epochs of HQSeg-44K in batches of 32 (4 on each of 8 GPUs), the learning rate falls after 10.
_base_ = '../default_runtime.py'
iters_per_epoch = 1385
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=0.0))
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[10 * iters_per_epoch], gamma=0.1)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20 * iters_per_epoch, val_interval=2 * iters_per_epoch)
default_hooks = dict(checkpoint=dict(interval=iters_per_epoch, save_best='refined/boundary_iou', rule='greater'))
