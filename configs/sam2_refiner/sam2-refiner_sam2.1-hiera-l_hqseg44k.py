# SAM2Refiner of the paper on SAM 2.1 large; differences are those of the base plus.
_base_ = './sam2-refiner_sam2.1-hiera-b-plus_hqseg44k.py'
model = dict(
    base=dict(
        config='sam2.1_hiera_l',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_large.pt',
    )
)
