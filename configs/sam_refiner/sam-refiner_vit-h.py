_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    backend=dict(
        type='SAMBackend',
        arch='vit_h',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth',
    )
)
