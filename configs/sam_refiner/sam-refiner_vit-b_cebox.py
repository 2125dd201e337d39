# Ablation: context-aware elastic boxes.
_base_ = './sam-refiner_vit-b.py'
model = dict(margin=0.1)
