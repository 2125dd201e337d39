# As the paper states its settings: one round, elastic boxes with lambda 0.1.
_base_ = './sam-refiner_vit-b.py'
model = dict(iters=1, margin=0.1)
