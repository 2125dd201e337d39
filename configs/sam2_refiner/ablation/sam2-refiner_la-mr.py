# Table 4: Localization Augment and Mask Refinement.
_base_ = '../sam2-refiner_sam2.1-hiera-l_hqseg44k.py'
model = dict(core=dict(pr=None))
