# Ablation of the model: SAM large instead of SAM huge.
_base_ = [
    '../sam-refiner_vit-l.py',
    '../../_base_/datasets/davis585.py',
    '../../_base_/default_runtime.py',
]
model = dict(iters=1, margin=0.0, gate=None)
