# Ablation: uniform weights of the mask prompt.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(gamma=0.0)
