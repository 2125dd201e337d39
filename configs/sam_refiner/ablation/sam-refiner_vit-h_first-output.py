# Ablation of the selection by predicted IoU: the first output, whichever it is.
_base_ = '../sam-refiner_vit-h_davis585.py'
model = dict(choose='first')
