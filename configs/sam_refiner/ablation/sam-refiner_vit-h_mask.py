# Ablation: the Gaussian-style mask alone.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(use_point=False, use_box=False)
