# Ablation of the loss: texture with weight 1 instead of 5.
_base_ = '../segrefiner_lr_lvis.py'
model = dict(losses=dict(loss_texture=dict(loss_weight=1.0)))
