_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    backend=dict(
        type='SAM2Backend',
        config='sam2.1_hiera_t',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt',
    )
)
