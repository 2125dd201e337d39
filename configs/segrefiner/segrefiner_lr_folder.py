# The full-size network on a folder of your own images and masks, from published or earlier weights (load_from).
_base_ = [
    './segrefiner_lr_lvis.py',
]

data_root = 'data/mine/'
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
degrade = [dict(type='SimulateCoarseMasks', simulators=['contour_points'], iou_range=(0.5, 0.95))]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                _delete_=True,
                type='MaskFolderDataset',
                data_prefix=dict(img=data_root + 'train/images', mask=data_root + 'train/masks'),
                pipeline=load
                + [dict(type='RandomObjectCrop', size=256, margin_px=40)]
                + degrade
                + [dict(type='RandomMaskFlip', prob=0.5), dict(type='PackRefineInputs', tensors=True)],
            )
        ]
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MaskFolderDataset',
        data_prefix=dict(img=data_root + 'val/images', mask=data_root + 'val/masks'),
        seed=2024,
        pipeline=load + degrade + [dict(type='PackRefineInputs')],
    )
)
