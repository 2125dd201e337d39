# Table 4: Prompt Retargeting and Mask Refinement. All three modules: the config in _base_.
_base_ = '../sam2-refiner_sam2.1-hiera-l_hqseg44k.py'
model = dict(core=dict(la=None))
