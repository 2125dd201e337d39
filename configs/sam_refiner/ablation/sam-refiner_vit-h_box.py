# Ablation: the tight box alone, SAM's usual prompt.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(use_point=False, use_mask=False)
