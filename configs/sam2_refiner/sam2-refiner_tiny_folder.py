# All of SAM2Refiner at a size for tests and laptops: inputs of 128x128 and a SAM 2 of 0.88 M parameters, which has no
# published weights: set your own with model.base.checkpoint, or the masks are meaningless.
_base_ = './sam2-refiner_sam2.1-hiera-b-plus_folder.py'
input_size = 128
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
prompt = dict(type='SamplePrompts', mask_side=input_size // 4)
model = dict(
    base=dict(
        config='sam2.1_hiera_t',
        checkpoint=None,
        small=dict(image_size=input_size, embed_dim=16, stages=(1, 1, 2, 1), hidden_dim=32),
    ),
    loss=dict(num_points=2048),
)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img='data/mine/train/images', mask='data/mine/train/masks'),
                pipeline=[
                    *load,
                    dict(type='RandomMaskFlip', prob=0.5),
                    dict(type='LargeScaleJitter', size=input_size, scale=(0.5, 2.0)),
                    prompt,
                    dict(type='PackInteractiveInputs', tensors=True),
                ],
            )
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            *load,
            prompt,
            dict(type='SquareResize', size=input_size, keep_masks=True),
            dict(type='PackInteractiveInputs'),
        ]
    )
)
test_dataloader = val_dataloader
