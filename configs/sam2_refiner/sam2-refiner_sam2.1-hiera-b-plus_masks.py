# Refinement of coarse masks: the prompts of SAMRefiner with the model SAM2Refiner. The weights are those of its
# training.
_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    iters=1,
    backend=dict(
        type='SAM2RefinerBackend',
        model=dict(
            type='SAM2Refiner',
            base=dict(
                config='sam2.1_hiera_b+',
                checkpoint='https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_base_plus.pt',
            ),
            core=dict(la=dict(), pr=dict(), mr=dict(), init='paper'),
        ),
    ),
)
