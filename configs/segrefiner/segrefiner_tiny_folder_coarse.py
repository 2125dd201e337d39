# The bundled model fine-tuned on your own images, masks and coarse masks, data_root/{train,val}/{images,masks,
# coarse}: PNG masks under the names of the images, coarse ones binary or 8-bit probabilities. Two thirds of
# the training samples have their own coarse mask, one third a simulated one, against overfitting
# on few images.
_base_ = ['./segrefiner_tiny_folder.py']

data_root = 'data/mine/'
train, val = data_root + 'train/', data_root + 'val/'
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
simulate = [
    dict(type='ObjectWindow', margin_ratio=0.6, max_side=360),
    dict(type='SimulateCoarseMasks', simulators=None, iou_range=(0.55, 1.0)),
]
crop_and_augment = [
    dict(type='CoarseMaskCrop', size=224),
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='PhotometricJitter', strength=0.5),
    dict(type='PackRefineInputs', tensors=True),
]
train_dataloader = dict(
    dataset=dict(
        weights=[2.0, 1.0],
        datasets=[
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img=train + 'images', mask=train + 'masks', coarse=train + 'coarse'),
                coarse_threshold=(0.35, 0.65),
                pipeline=load + crop_and_augment,
            ),
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img=train + 'images', mask=train + 'masks'),
                pipeline=load + simulate + crop_and_augment,
            ),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img=val + 'images', mask=val + 'masks', coarse=val + 'coarse'),
        pipeline=load + [dict(type='PackRefineInputs')],
    )
)
test_dataloader = val_dataloader
