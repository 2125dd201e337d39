# Control, not in the paper: Mask Refinement alone.
_base_ = '../sam2-refiner_sam2.1-hiera-l_hqseg44k.py'
model = dict(core=dict(la=None, pr=None))
