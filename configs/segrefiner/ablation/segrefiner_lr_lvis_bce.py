# Ablation of the loss: cross-entropy alone.
_base_ = '../segrefiner_lr_lvis.py'
model = dict(losses=dict(loss_texture=dict(loss_weight=0.0)))
