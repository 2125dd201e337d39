# Ablation: the positive point alone.
_base_ = './sam-refiner_vit-b.py'
model = dict(negative_point=False)
