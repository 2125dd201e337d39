# Ablation: Euclid's distance instead of the chamfer distance.
_base_ = './sam-refiner_vit-b.py'
model = dict(distance='euclidean')
