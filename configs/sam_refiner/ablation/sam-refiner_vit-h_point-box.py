# Ablation: points and tight boxes.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(use_mask=False)
