# The bundled model on the development set, on which steps, gate and other settings are chosen: images that neither
# training nor validation sees.
_base_ = './segrefiner_tiny_photos.py'

data_root = 'data/photos/'
more, coarse_real = data_root + 'more/', data_root + 'coarse_real/'
development = dict(modulo=10, keep=[1])
real = [
    ('selfie', 'human290'), ('selfie', 'ccp_rest'), ('prisma', 'human290'), ('prisma', 'ccp_rest'),
    ('isnet512', 'weizmann_horses'), ('isnet512', 'davis_between'), ('isnet512', 'feral_cats'),
]  # fmt: skip
simulated_coco = [('davis_dev', None), ('bsds_dev', list(range(0, 831, 6)))]
simulated_folders = ['fasseg', 'carrot_weed_crops', 'weizmann_horses', 'human290', 'cwf788', 'cwfid', 'flowers56']
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
simulate = [dict(type='SimulateCoarseMasks', simulators=None, iou_range=(0.55, 1.0))]
pack = [dict(type='PackRefineInputs')]

test_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                type='MaskFolderDataset',
                test_mode=True,
                data_prefix=dict(
                    img=f'{more}{name}/images', mask=f'{more}{name}/masks', coarse=f'{coarse_real}{model}/{name}'
                ),
                split=development,
                min_coarse_iou=0.5,
                source=f'{model} {name}',
                kind='real',
                seed=2024,
                pipeline=load + pack,
            )
            for model, name in real
        ]
        + [
            dict(
                type='CocoMaskDataset',
                test_mode=True,
                ann_file=data_root + name + '.json',
                data_prefix=dict(img=data_root + name),
                indices=indices,
                kind='simulated',
                seed=2024,
                pipeline=load + simulate + pack,
            )
            for name, indices in simulated_coco
        ]
        + [
            dict(
                type='MaskFolderDataset',
                test_mode=True,
                data_prefix=dict(img=f'{more}{name}/images', mask=f'{more}{name}/masks'),
                split=development,
                kind='simulated',
                seed=2024,
                pipeline=load + simulate + pack,
            )
            for name in simulated_folders
        ]
    )
)
