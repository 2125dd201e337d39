# Ablation: without points.
_base_ = './sam-refiner_vit-b.py'
model = dict(use_point=False)
