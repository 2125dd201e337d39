_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    backend=dict(
        type='SAMBackend',
        arch='vit_l',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/sam_vit_l_0b3195.pth',
    )
)
