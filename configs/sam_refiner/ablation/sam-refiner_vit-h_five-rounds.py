# Ablation: five rounds, the default of the authors' code.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(iters=5)
