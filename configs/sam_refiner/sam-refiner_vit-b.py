_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    backend=dict(
        type='SAMBackend',
        arch='vit_b',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth',
    )
)
