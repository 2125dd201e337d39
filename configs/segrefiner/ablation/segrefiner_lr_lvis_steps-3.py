# Ablation of the diffusion: 3 steps instead of 6.
_base_ = '../segrefiner_lr_lvis.py'
model = dict(denoiser=dict(num_steps=3), schedule=dict(num_steps=3))
