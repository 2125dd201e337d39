# Ablation: points alone.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(use_box=False, use_mask=False)
