# Reproduces the authors' code to the pixel, including its faults; see mmrefine/core/prompts.
_base_ = './sam-refiner_vit-b.py'
model = dict(released_behaviour=True, gate=None)
