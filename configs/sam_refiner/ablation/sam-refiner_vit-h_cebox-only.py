# Ablation: the context-aware elastic box with lambda 0.1 alone.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(use_point=False, use_mask=False, margin=0.1)
