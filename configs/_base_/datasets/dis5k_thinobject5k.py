# DIS5K-TR and ThinObject5K-TR: of every image an object view and a native patch, in equal numbers.
data_root = 'data/'
input_size = 256
folders = [
    dict(img=data_root + 'dis5k/DIS-TR/im', mask=data_root + 'dis5k/DIS-TR/gt'),
    dict(img=data_root + 'thin_object_5k/images_train', mask=data_root + 'thin_object_5k/masks_train'),
]
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
object_view = [dict(type='RandomObjectCrop', size=input_size, margin_px=40)]
native_patch = [dict(type='MixedPatchCrop', size=input_size)]
degrade = [
    dict(type='SimulateCoarseMasks', simulators=['contour_points', 'expand'], iou_range=(0.5, 0.95)),
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='PackRefineInputs', tensors=True),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[1.0, 1.0, 1.0, 1.0],
        datasets=[
            dict(type='MaskFolderDataset', data_prefix=folder, pipeline=load + view + degrade)
            for folder in folders
            for view in (object_view, native_patch)
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MaskFolderDataset',
        data_prefix=dict(img=data_root + 'dis5k/DIS-VD/im', mask=data_root + 'dis5k/DIS-VD/gt'),
        source='DIS-VD',
        seed=2024,
        pipeline=[
            dict(type='LoadRGBImage'),
            dict(type='LoadTrueMasks'),
            dict(type='SimulateCoarseMasks', simulators=['contour_points', 'expand'], iou_range=(0.5, 0.95)),
            dict(type='PackRefineInputs'),
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric')
