# The paper's settings: one round, elastic boxes with lambda 0.1, no gate. Intended differences: masks
# of a batch do not change each other's prompts, and a mask that fills its box has no negative point; the authors' code
# to the pixel is sam-refiner_vit-b_released.py.
_base_ = './sam-refiner_vit-b.py'
model = dict(iters=1, margin=0.1, gate=None)
