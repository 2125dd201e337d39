# Ablation of the selection by predicted IoU: the output nearest to the coarse mask.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(choose='coarse_iou')
