# Ablation: the positive point alone with box and mask.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(negative_point=False)
