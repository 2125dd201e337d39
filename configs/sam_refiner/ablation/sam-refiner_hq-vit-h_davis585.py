# Ablation of the model: HQ-SAM huge instead of SAM huge.
_base_ = [
    '../sam-refiner_hq-vit-h.py',
    '../../_base_/datasets/davis585.py',
    '../../_base_/default_runtime.py',
]
model = dict(iters=1, margin=0.0, gate=None)
