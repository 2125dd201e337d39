# Ablation of the selection by predicted IoU: always the first output.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(choose='first')
