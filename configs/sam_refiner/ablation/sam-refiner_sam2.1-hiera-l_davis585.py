# Ablation of the model: SAM 2.1 large instead of SAM huge.
_base_ = [
    '../sam-refiner_sam2.1-hiera-l.py',
    '../../_base_/datasets/davis585.py',
    '../../_base_/default_runtime.py',
]
model = dict(iters=1, margin=0.0, gate=None)
