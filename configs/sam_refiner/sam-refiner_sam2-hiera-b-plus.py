_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    backend=dict(
        type='SAM2Backend',
        config='sam2_hiera_b+',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything_2/072824/sam2_hiera_base_plus.pt',
    )
)
