# Ablation, not in the paper: Euclidean distance instead of the chamfer distance.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(distance='euclidean')
