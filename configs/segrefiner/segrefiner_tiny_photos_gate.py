# The bundled model on whole training images, to fit its gate to. The development set (segrefiner_tiny_photos_dev.py)
# has too few harmed masks to fit the weights of six features; it decides the threshold alone.
_base_ = './segrefiner_tiny_photos.py'

data_root = 'data/photos/'
more, coarse_real = data_root + 'more/', data_root + 'coarse_real/'
training = dict(modulo=10, keep=[2, 3, 4, 6, 7, 8, 9])
real = [
    ('selfie', 'human290', 0.04), ('selfie', 'ccp_rest', 0.04), ('prisma', 'human290', 0.04),
    ('prisma', 'ccp_rest', 0.04), ('isnet512', 'weizmann_horses', 0.06), ('isnet512', 'davis_between', 0.05),
    ('isnet512', 'feral_cats', 0.03),
]  # fmt: skip
simulated_coco = [('davis_train', 0.06), ('bsds_train', 0.2), ('bsds_val', 0.1), ('nuclei', 0.03)]
simulated_folders = [
    ('fasseg', 0.04), ('carrot_weed_crops', 0.04), ('weizmann_horses', 0.04), ('human290', 0.05), ('cwf788', 0.03),
    ('davis_between', 0.05), ('cwfid', 0.02), ('feral_cats', 0.02), ('flowers56', 0.02),
]  # fmt: skip
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
simulate = [dict(type='SimulateCoarseMasks', simulators=None, iou_range=(0.55, 1.0))]
pack = [dict(type='PackRefineInputs')]

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MixtureDataset',
        seed=2024,
        length=1600,
        weights=[weight for *_, weight in real + simulated_coco + simulated_folders],
        datasets=[
            dict(
                type='MaskFolderDataset',
                test_mode=True,
                data_prefix=dict(
                    img=f'{more}{name}/images', mask=f'{more}{name}/masks', coarse=f'{coarse_real}{model}/{name}'
                ),
                split=training,
                min_coarse_iou=0.5,
                source=f'{model} {name}',
                kind='real',
                pipeline=load + pack,
            )
            for model, name, _ in real
        ]
        + [
            dict(
                type='CocoMaskDataset',
                test_mode=True,
                ann_file=data_root + name + '.json',
                data_prefix=dict(img=data_root + name),
                kind='simulated',
                pipeline=load + simulate + pack,
            )
            for name, _ in simulated_coco
        ]
        + [
            dict(
                type='MaskFolderDataset',
                test_mode=True,
                data_prefix=dict(img=f'{more}{name}/images', mask=f'{more}{name}/masks'),
                split=training,
                kind='simulated',
                pipeline=load + simulate + pack,
            )
            for name, _ in simulated_folders
        ],
    )
)
