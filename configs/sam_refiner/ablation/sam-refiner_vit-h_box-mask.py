# Ablation: tight boxes and masks.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(use_point=False)
