# Ablation: without masks.
_base_ = './sam-refiner_vit-b.py'
model = dict(use_mask=False)
