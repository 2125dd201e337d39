# Ablation: context-aware elastic boxes with lambda 0.1 instead of tight ones.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(margin=0.1)
