# Ablation: without boxes.
_base_ = './sam-refiner_vit-b.py'
model = dict(use_box=False)
