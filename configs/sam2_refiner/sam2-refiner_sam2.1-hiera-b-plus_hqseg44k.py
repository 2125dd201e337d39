# SAM2Refiner of the paper on SAM 2.1 base plus. Intended differences: Localization Augment adds to the embedding and
# starts at zero, norms are over channels, losses are HQ-SAM's on sampled points, and prompts are boxes, points and
# masks in equal shares (docs/sam2_refiner.md).
_base_ = [
    '../_base_/schedules/sam2_refiner.py',
    '../_base_/models/sam2_refiner.py',
    '../_base_/datasets/hqseg44k.py',
]
model = dict(
    base=dict(
        config='sam2.1_hiera_b+',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_base_plus.pt',
    )
)
