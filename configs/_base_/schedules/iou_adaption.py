# One epoch over one's own coarse masks, an image at a time, gradients accumulated over 5 images; the learning rate
# falls at optimizer steps 60 and 100, counted in images here.
_base_ = '../default_runtime.py'
accumulate = 5
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-2, momentum=0.9, weight_decay=5e-4),
    accumulative_counts=accumulate,
)
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[60 * accumulate, 100 * accumulate], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=1, save_optimizer=False))
log_processor = dict(by_epoch=True)
custom_hooks = []
