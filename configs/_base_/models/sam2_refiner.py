# What all SAM2Refiner configs share: a frozen SAM 2, whose size a leaf config sets, and three trained modules.
model = dict(
    type='SAM2Refiner',
    base=dict(config='sam2.1_hiera_b+', checkpoint=None),
    core=dict(la=dict(), pr=dict(), mr=dict(), init='paper'),
    loss=dict(type='PointSampledMaskLoss', num_points=12544),
    aux_weight=0.3,
    tile_chunk=4,
)
