# Ablation: all pixels of the mask prompt are trusted alike.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(gamma=0.0)
