# DAVIS-585: coarse masks of single objects that the data set provides.
_base_ = './sam-refiner_vit-h.py'
model = dict(iters=1, margin=0.1)
